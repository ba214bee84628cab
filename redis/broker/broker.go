// Package broker is the queue engine of one tenant. It assembles the parts of each shard and presents
// N >= 1 shards as one [Broker]; without sharding N is 1, and the same code runs.
//
// Each shard has a prefix of its own, and every key of a job lies in one shard. The parts of a shard
// (packages queue, result, state, watch and admin) know only their own shard. This package decides
// which shards a call reaches:
//
//   - A call about one job goes to the shard of the job id ([Jobs]).
//   - A call under a lease goes to the shard that granted the lease, which the token names ([Tasks]).
//   - A call with several tokens, jobs or tasks is split, and the parts run at the same time ([Tasks]).
//   - A call about a queue reaches all shards, and their replies are merged ([Admin]).
//   - A read looks into one shard after the other. There is one waiting loop, [Tasks.Read]: a read
//     that finds nothing waits in the waitlists of all shards with one signal.
//
// A new call belongs to the one of these three types that its argument points to, or becomes a
// further such type: none should exceed about 25 methods.
package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Broker is the queue engine of one tenant: leased reads, fenced settling, job state, completion
// events, and waiting for all of these. Its methods are safe for concurrent use. Any number of
// Brokers, in any processes, may share a prefix.
//
// The jobs of a tenant can be spread over several prefixes, its shards (redis.Config.Shards), to use
// more than one master of a Redis Cluster. The shard of a job is the CRC-32 (IEEE) of its id modulo
// the number of shards, which is fixed when the first server starts. Workers receive tasks of all
// shards. With several shards a PublishBatch is atomic within each shard only, the limits of a queue
// are divided among the shards, a page of a list may hold fewer entries than requested, and while one
// master is unavailable, work in the other shards continues.
//
// Besides the errors that a method lists, every method that takes a context returns the context's
// error when it ends, job.ErrInvalid (as a *job.ArgumentError) for an argument that is out of
// bounds, and job.ErrUnavailable, job.ErrNotPermitted or job.ErrKeyType when Redis does not execute a
// command. A method that writes may return job.ErrOutOfMemory, and job.ErrOutcomeUnknown when the
// connection broke during a write that must not be repeated blindly. An empty queue or group name
// means the default one of the settings.
type Broker struct {
	*Tasks
	*Jobs
	*Admin
	set *shardSet
}

// New starts a broker and its background work, which Close ends. The client remains the caller's:
// close it after the broker. ctx limits the start only. Errors: a *job.ArgumentError for bad settings,
// or when the tenant was first used with another number of shards.
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

// Close ends the background work and waits for it. Calls that are waiting end with their contexts.
func (b *Broker) Close() {
	for _, s := range b.set.shards {
		s.close()
	}
}

// Ping sends a command to every shard at the same time. It fails only when no shard replies.
func (b *Broker) Ping(ctx context.Context) error {
	errs := b.set.all(func(_ int, s *shard) error {
		_, err := s.Commands.Exists(ctx, s.Keys.Tenant().Shards()).Result()
		return conn.Translate("ping", err, conn.Repeatable)
	})
	for _, err := range errs {
		if err == nil {
			return nil
		}
	}
	return errs[0]
}
