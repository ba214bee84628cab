package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

func asCluster(dir string) (topology, error) { return newCluster(dir) }

// asShards is a Cluster over which the jobs of a tenant are spread, and of which a part serves
// while another is away.
func asShards(dir string) (topology, error) {
	c, err := newCluster(dir, "--cluster-require-full-coverage", "no")
	c.spread = 6
	return c, err
}

func withCluster(inject func(*world, *cluster) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*cluster)) }
}

var clusterFaults = []scenario{
	{name: "Cluster: a master is killed", build: asCluster, inject: withCluster(killOwner(history.LostAll))},
	{name: "Cluster: the same, wait_replicas 1", build: asCluster, serve: waitForOne, inject: withCluster(killOwner(history.LostRest))},
	{name: "Cluster: a slot moves to another master", build: asCluster, inject: withCluster(moveSlot)},
	{name: "Cluster, 6 shards: a master is killed", build: asShards, inject: withCluster(killOwner(history.LostAll))},
	{name: "Cluster, 6 shards: slots move to other masters", build: asShards, inject: withCluster(moveSlot)},
}

// killOwner kills a master that has the main tenant's keys; its replica takes over, and
// it comes back as that one's replica.
func killOwner(lost string) func(w *world, c *cluster) error {
	return func(w *world, c *cluster) error {
		c.observer.mayLose(lost)
		old, slot, err := c.holder(w.main.anyPrefix())
		if err != nil {
			return err
		}
		c.observer.kill(old)
		err = until(60*time.Second, func() bool {
			n, err := c.owner(slot)
			return err == nil && n != old
		})
		if err != nil {
			return fmt.Errorf("no replica took over: %w", err)
		}
		if err := old.start(); err != nil {
			return err
		}
		return c.whole()
	}
}

// moveSlot moves a slot of the main tenant's to another master, key by key.
func moveSlot(w *world, c *cluster) error {
	from, slot, err := c.holder(w.main.anyPrefix())
	if err != nil {
		return err
	}
	others := make([]*node, 0, 2)
	for _, n := range c.nodes {
		if n != from && n.info("replication", "role") == "master" {
			others = append(others, n)
		}
	}
	if len(others) == 0 {
		return errors.New("there is no other master")
	}
	if err := c.move(slot, from, others[w.random.IntN(len(others))]); err != nil {
		return fmt.Errorf("move the slot: %w", err)
	}
	return nil
}
