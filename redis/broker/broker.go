// Package broker is the queue engine of one tenant: it assembles the parts of each shard, and makes
// one of N >= 1 shards.
package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Broker is the queue engine of one tenant: leased reads, fenced settling, job state, completion
// events and waiting for all of these. Its methods are safe for concurrent use. Any number of
// Brokers, in any processes, may share a prefix.
//
// The jobs of a tenant can be spread over several prefixes, its shards (Config.Shards), so that it
// can use more than one master of a Redis Cluster: all keys of a job lie in one of them. The shard
// of a job is the CRC-32 (IEEE) of its id modulo their number, which is fixed when the first server
// starts. What workers read comes from all shards. With several shards a PublishBatch is atomic in
// each of them, limits of a queue are divided among them, a page of a list may hold fewer entries
// than asked for, and while one master answers, work goes on with what lies there.
type Broker struct {
	*Tasks
	*Jobs
	*Admin
	set *shardSet
}

// New starts a broker. The client stays the caller's: close it after the broker. It fails with an
// *ArgumentError for bad settings, and when the tenant was first used with another number of shards.
func New(ctx context.Context, client *redis.Client, settings job.Settings) (*Broker, error) {
	c := client.Conn()
	settings, err := settings.WithDefaults()
	if err != nil {
		return nil, err
	}
	if err := CheckShards(ctx, client); err != nil {
		return nil, err
	}
	n := c.Config.Shards
	set := &shardSet{isNumbered: n > 0}
	b := &Broker{&Tasks{set}, &Jobs{set}, &Admin{set}, set}
	if n == 0 {
		set.shards = append(set.shards, newShard(c, settings, nil))
		return b, nil
	}
	for i := range n {
		owns := func(jobID string) bool { return job.ShardOf(jobID, n) == i }
		set.shards = append(set.shards, newShard(c.Shard(i), settings.OfShard(i, n), owns))
	}
	return b, nil
}

// Close ends the background work and waits for it. Calls that wait end with their contexts.
func (b *Broker) Close() {
	for _, s := range b.set.shards {
		s.close()
	}
}

// Ping asks for a sign of life; it fails when no shard gives any.
func (b *Broker) Ping(ctx context.Context) error {
	errs := b.set.all(func(_ int, s *shard) error {
		_, err := s.Commands.Exists(ctx, s.Keys.Shards()).Result()
		return conn.Translate("ping", err, conn.Repeatable)
	})
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errs[0]
}
