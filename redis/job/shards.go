package job

import (
	"hash/crc32"
	"maps"
	"strings"
)

// MaxShards is the maximum number of shards.
const MaxShards = 64

// ShardOf returns the shard of a name: its CRC-32 (IEEE) modulo the number of shards, which raw peers can
// compute too.
func ShardOf(name string, shards int) int {
	return int(crc32.ChecksumIEEE([]byte(name)) % uint32(shards))
}

// ShardBase returns what the prefixes of all shards have in common: "argus" for "argus:" and for "{argus}:".
func ShardBase(prefix string) string {
	base := strings.TrimSuffix(prefix, ":")
	if inner, ok := strings.CutPrefix(base, "{"); ok && strings.HasSuffix(inner, "}") {
		base = strings.TrimSuffix(inner, "}")
	}
	return base
}

// OfShard returns the settings of shard i of n: limits of queues are divided, and logs name the shard.
func (c Settings) OfShard(i, n int) Settings {
	c.Logger = c.Logger.With("shard", i)
	c.Queue = c.Queue.ofShard(n)
	c.Queues = maps.Clone(c.Queues)
	for name, q := range c.Queues {
		c.Queues[name] = q.ofShard(n)
	}
	return c
}

// ofShard divides a queue's limits among n shards, rounded up.
func (c QueueSettings) ofShard(n int) QueueSettings {
	share := func(limit int) int { return (limit + n - 1) / n }
	c.MaxLength, c.FairMaxInFlight = share(c.MaxLength), share(c.FairMaxInFlight)
	c.FairMaxInFlightOf = maps.Clone(c.FairMaxInFlightOf)
	for organization, limit := range c.FairMaxInFlightOf {
		c.FairMaxInFlightOf[organization] = share(limit)
	}
	return c
}
