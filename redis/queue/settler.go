package queue

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Settler ends leases without a result: it acknowledges, releases or requeues tasks, and settles
// entries that can't be delivered. It also extends leases.
type Settler struct {
	*conn.Shard
	waiters   *Waitlists
	watches   *watch.Subscriptions
	registry  *Registry
	recorder  *result.Recorder
	scheduler *Scheduler
}

// NewSettler returns a settler.
func NewSettler(shard *conn.Shard, waiters *Waitlists, watches *watch.Subscriptions, registry *Registry, recorder *result.Recorder, scheduler *Scheduler) *Settler {
	return &Settler{shard, waiters, watches, registry, recorder, scheduler}
}

// settleUndeliverable settles leased entries that are not delivered, and returns how many it settled.
// The others are read again when their lease has expired.
func (s *Settler) settleUndeliverable(ctx context.Context, entries []undeliverable) int {
	ctx = context.WithoutCancel(ctx)
	n := 0
	for _, u := range entries {
		var err error
		if u.forGroup != "" { // that group has the entry, too
			_, err = s.ack(ctx, []job.Lease{u.lease})
		} else {
			_, err = s.requeue(ctx, u.lease, u.requeueRequest)
		}
		if err != nil {
			s.Log.Error("could not settle an undeliverable entry", "queue", u.lease.Queue, "job_id", u.lease.JobID, "message_id", u.lease.EntryID, "error", err)
			continue
		}
		n++
	}
	return n
}
