package job

import (
	"hash/crc32"
	"maps"
	"strings"
)

// MaxShards is how many shards there may be.
const MaxShards = 64

// ShardOf is the shard of a name: raw peers can compute it too.
func ShardOf(name string, shards int) int {
	return int(crc32.ChecksumIEEE([]byte(name)) % uint32(shards))
}

// ShardBase is what a prefix and its shards have in common: "argus" of "argus:" and of
// "{argus}:".
func ShardBase(prefix string) string {
	base := strings.TrimSuffix(prefix, ":")
	if inner, ok := strings.CutPrefix(base, "{"); ok && strings.HasSuffix(inner, "}") {
		base = strings.TrimSuffix(inner, "}")
	}
	return base
}

// OfShard is how one of n shards treats its queues.
func (c Settings) OfShard(i, n int) Settings {
	c.Logger = c.Logger.With("shard", i)
	c.Queue = c.Queue.ofShard(n)
	c.Queues = maps.Clone(c.Queues)
	for name, q := range c.Queues {
		c.Queues[name] = q.ofShard(n)
	}
	return c
}

// ofShard gives each of n shards its part of a queue's limits.
func (c QueueSettings) ofShard(n int) QueueSettings {
	share := func(limit int) int { return (limit + n - 1) / n }
	c.MaxLength, c.FairMaxInFlight = share(c.MaxLength), share(c.FairMaxInFlight)
	c.FairMaxInFlightOf = maps.Clone(c.FairMaxInFlightOf)
	for organization, limit := range c.FairMaxInFlightOf {
		c.FairMaxInFlightOf[organization] = share(limit)
	}
	return c
}
