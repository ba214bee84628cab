package queue

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Registry is what this process knows of a shard's queues.
type Registry struct {
	*conn.Shard
	Known *History
	scans expiredScanThrottle
	sizes entrySizes
}

// NewRegistry returns a registry that knows nothing.
func NewRegistry(shard *conn.Shard) *Registry {
	return &Registry{Shard: shard, Known: newHistory()}
}

// Note registers a queue that a worker reads from. The read does not fail when this does.
func (r *Registry) Note(ctx context.Context, queue string) {
	if !r.Known.Noted.Due(queue) {
		return
	}
	if err := r.Add(context.WithoutCancel(ctx), queue); err != nil {
		r.Log.Debug("could not register a queue", "queue", queue, "error", err)
		r.Known.Noted.Forget(queue)
	}
}

// Add adds a queue to the set of known queues, which Admin lists and the cleaner cleans.
// ErrTooManyQueues when it would be one too many.
func (r *Registry) Add(ctx context.Context, queue string) error {
	args := knowArgs{Queue: queue, MaxQueues: r.Settings.QueueLimit(queue)}
	verdict, err := args.run(ctx, r.Conn)
	if verdict == conn.VerdictTooManyQueues {
		err = job.ErrTooManyQueues
	}
	return err
}

// SetPaused records whether a queue is paused: then only the script reads, which leases nothing.
func (r *Registry) SetPaused(queue string, paused bool) { r.sizes.setPaused(queue, paused) }

// knowArgs are the arguments of lua/know.lua.
type knowArgs struct {
	Queue     string
	MaxQueues string
}

// run runs the script and returns its verdict.
func (a *knowArgs) run(ctx context.Context, c *conn.Conn) (string, error) {
	return conn.KnowScript.Word(ctx, c, conn.Repeatable, []string{c.Keys.Tenant().Queues()}, a.Queue, a.MaxQueues)
}
