package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// threeMasters builds a Cluster without sharding.
func threeMasters(dir string) (topology, error) { return newCluster(dir) }

// sixShards builds a Cluster that the jobs of a tenant are sharded over. The remaining masters keep
// serving while one is down.
func sixShards(dir string) (topology, error) {
	c, err := newCluster(dir, "--cluster-require-full-coverage", "no")
	c.shardCount = 6
	return c, err
}

// onCluster adapts a fault of the Cluster deployments.
func onCluster(inject func(*world, *cluster) error) func(*world) error {
	return func(w *world) error { return inject(w, w.topology.(*cluster)) }
}

var clusterFaults = []scenario{
	{name: "Cluster: a master is killed", build: threeMasters, inject: onCluster(killClusterMaster(history.LostAll))},
	{name: "Cluster: a master is killed, wait_replicas 1", build: threeMasters, serve: waitForOne, inject: onCluster(killClusterMaster(history.LostUnconfirmed))},
	{name: "Cluster: a slot is migrated", build: threeMasters, inject: onCluster(migrateSlot)},
	{name: "Cluster, 6 shards: a master is killed", build: sixShards, inject: onCluster(killClusterMaster(history.LostAll))},
	{name: "Cluster, 6 shards: slots are migrated", build: sixShards, inject: onCluster(migrateSlot)},
}

// killClusterMaster kills a master of the main tenant's keys. Its replica takes over, and it
// restarts as the new master's replica.
func killClusterMaster(loss string) func(w *world, c *cluster) error {
	return func(w *world, c *cluster) error {
		c.observer.setLoss(loss)
		old, slot, err := c.masterOf(w.main.randomPrefix())
		if err != nil {
			return err
		}
		c.observer.kill(old)
		err = until(60*time.Second, func() bool {
			n, err := c.slotOwner(slot)
			return err == nil && n != old
		})
		if err != nil {
			return fmt.Errorf("no replica was promoted: %w", err)
		}
		if err := old.start(); err != nil {
			return err
		}
		return c.awaitHealthy()
	}
}

// migrateSlot migrates a slot of the main tenant to a random other master.
func migrateSlot(w *world, c *cluster) error {
	from, slot, err := c.masterOf(w.main.randomPrefix())
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
		return errors.New("the cluster has no other master")
	}
	if err := c.migrate(slot, from, others[w.random.IntN(len(others))]); err != nil {
		return fmt.Errorf("migrate slot %d: %w", slot, err)
	}
	return nil
}
