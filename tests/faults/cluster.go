package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// cluster is a Redis Cluster of three masters with one replica each.
type cluster struct {
	nodes      []*node
	ids        []string       // of the nodes
	slotOf     map[string]int // by prefix
	shardCount int

	observer *observer
}

const slots = 16384 // of every Redis Cluster

func newCluster(dir string, args ...string) (*cluster, error) {
	c := &cluster{slotOf: make(map[string]int)}
	for range 6 {
		n, err := newNode(dir, append([]string{"--cluster-enabled", "yes", "--cluster-node-timeout", "2000",
			"--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"}, args...)...)
		if err != nil {
			return c, err
		}
		id, err := n.client.Do(ctx, "cluster", "myid").Text()
		if err != nil {
			return c, err
		}
		c.nodes, c.ids = append(c.nodes, n), append(c.ids, id)
	}
	for i, n := range c.nodes {
		if err := n.client.Do(ctx, "cluster", "set-config-epoch", i+1).Err(); err != nil {
			return c, err
		}
		if err := n.client.Do(ctx, "cluster", "meet", "127.0.0.1", portOf(c.nodes[0].addr), c.nodes[0].bus).Err(); i > 0 && err != nil {
			return c, err
		}
		if i < 3 {
			if err := n.client.Do(ctx, "cluster", "addslotsrange", i*slots/3, (i+1)*slots/3-1).Err(); err != nil {
				return c, err
			}
		}
	}
	for i, n := range c.nodes[3:] {
		err := until(30*time.Second, func() bool { return n.client.ClusterReplicate(ctx, c.ids[i]).Err() == nil })
		if err != nil {
			return c, fmt.Errorf("a replica does not know its master: %w", err)
		}
	}
	c.observer = observe(c.nodes, nil)
	return c, c.awaitHealthy()
}

func (c *cluster) flags() []string {
	addrs := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		addrs[i] = n.addr
	}
	return []string{"--redis-cluster", "--redis-addr", strings.Join(addrs, ","), "--redis-shards", strconv.Itoa(c.shardCount)}
}

func (c *cluster) shards() int { return c.shardCount }

func (c *cluster) masters() int { return 3 }

func (c *cluster) prefix(tenant string) string {
	if c.shardCount > 0 {
		return tenant + ":"
	}
	return "{" + tenant + "}:"
}

// slotOwner is the master of a slot, according to the first node that replies.
func (c *cluster) slotOwner(slot int) (*node, error) {
	for _, n := range c.nodes {
		if n.info("cluster", "cluster_enabled") == "" {
			continue
		}
		table, err := n.client.ClusterNodes(ctx).Result()
		if err != nil {
			continue
		}
		for line := range strings.Lines(table) {
			if fields := strings.Fields(line); len(fields) > 8 && hasSlot(fields[8:], slot) {
				return c.nodeByID(fields[0])
			}
		}
	}
	return nil, fmt.Errorf("slot %d has no master", slot)
}

// hasSlot reports whether a slot is in one of the ranges, as CLUSTER NODES formats them.
func hasSlot(ranges []string, slot int) bool {
	for _, r := range ranges {
		first, last, isRange := strings.Cut(r, "-")
		if !isRange {
			last = first
		}
		low, err1 := strconv.Atoi(first)
		high, err2 := strconv.Atoi(last)
		if err1 == nil && err2 == nil && low <= slot && slot <= high {
			return true
		}
	}
	return false
}

func (c *cluster) nodeByID(id string) (*node, error) {
	for i := range c.nodes {
		if c.ids[i] == id {
			return c.nodes[i], nil
		}
	}
	return nil, fmt.Errorf("node %s is not part of this cluster", id)
}

// masterOf is the master of the keys with a prefix, and their slot.
func (c *cluster) masterOf(prefix string) (n *node, slot int, err error) {
	slot, known := c.slotOf[prefix]
	if !known {
		found, err := c.nodes[0].client.ClusterKeySlot(ctx, prefix).Result()
		if err != nil {
			return nil, 0, err
		}
		slot = int(found)
		c.slotOf[prefix] = slot
	}
	n, err = c.slotOwner(slot)
	return n, slot, err
}

func (c *cluster) store(prefix string) (*goredis.Client, error) {
	n, _, err := c.masterOf(prefix)
	if err != nil {
		return nil, err
	}
	return n.client, nil
}

// awaitHealthy waits until all nodes know each other, all slots are served, and every replica is
// connected to its master.
func (c *cluster) awaitHealthy() error {
	err := until(90*time.Second, func() bool {
		for _, n := range c.nodes {
			info, err := n.client.ClusterInfo(ctx).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, "cluster_slots_ok:"+strconv.Itoa(slots)) ||
				!strings.Contains(info, "cluster_known_nodes:6") {
				return false
			}
			if n.info("replication", "role") == "slave" && n.info("replication", "master_link_status") != "up" {
				return false
			}
		}
		masters := 0
		for _, n := range c.nodes {
			if n.info("replication", "role") == "master" {
				masters++
			}
		}
		return masters == 3
	})
	if err != nil {
		return fmt.Errorf("the cluster is not healthy: %w", err)
	}
	return nil
}

// migrate moves a slot to another master in batches of keys, as redis-cli --cluster reshard does.
func (c *cluster) migrate(slot int, from, to *node) error {
	id := func(n *node) string {
		id, _ := n.client.Do(ctx, "cluster", "myid").Text()
		return id
	}
	if err := to.client.Do(ctx, "cluster", "setslot", slot, "importing", id(from)).Err(); err != nil {
		return err
	}
	if err := from.client.Do(ctx, "cluster", "setslot", slot, "migrating", id(to)).Err(); err != nil {
		return err
	}
	for {
		keys, err := from.client.ClusterGetKeysInSlot(ctx, slot, 50).Result()
		if err != nil {
			return err
		}
		if len(keys) == 0 {
			break
		}
		args := []any{"migrate", "127.0.0.1", portOf(to.addr), "", 0, 5000, "keys"}
		for _, key := range keys {
			args = append(args, key)
		}
		if err := from.client.Do(ctx, args...).Err(); err != nil {
			return err
		}
	}
	// The new master first: in the other order the slot could be left without a master.
	for _, n := range append([]*node{to, from}, c.nodes...) {
		if n.info("replication", "role") != "master" {
			continue
		}
		if err := n.client.Do(ctx, "cluster", "setslot", slot, "node", id(to)).Err(); err != nil {
			return err
		}
	}
	return nil
}

func (c *cluster) servers() []*node { return c.nodes }

func (c *cluster) failovers() *observer { return c.observer }

func (c *cluster) end() {
	if c.observer != nil {
		c.observer.stop()
	}
	for _, n := range c.nodes {
		n.end()
	}
}
