package queue

import (
	"cmp"
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Entry names an entry of a task stream. Under several prefixes ids may be the same.
type Entry struct{ Prefix, ID string }

// HeldLease is a pending entry of a consumer.
type HeldLease struct {
	Count int // deliveries of the entry
	// HasExpired: the lease ran out, and the next read of any consumer of the group takes the
	// entry. Until then the consumer can still settle it or renew the lease.
	HasExpired bool
}

// Holding is what a consumer holds.
type Holding struct {
	Leases map[Entry]HeldLease // nil when it could not be read
	// IsComplete is false when the consumer holds more than are listed: the first in the order
	// of their entries are.
	IsComplete bool
}

// maxHeld is how many leases of a consumer Held lists.
const maxHeld = 10 * job.MaxBatch

// Held lists what a consumer holds: its pending entries.
func (r *Reader) Held(ctx context.Context, queue, group, consumer string) (Holding, error) {
	queue, err := r.QueueName(queue)
	if err != nil {
		return Holding{}, err
	}
	held := Holding{Leases: make(map[Entry]HeldLease), IsComplete: true}
	lease := r.QueueSettings(queue).Lease
	for start := "-"; ; {
		list, err := r.Commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: r.Keys.Tasks(queue),
			Group: cmp.Or(group, r.Settings.DefaultGroup), Start: start, End: "+", Count: job.MaxBatch, Consumer: consumer}).Result()
		if conn.IsNoKey(err) || errors.Is(err, goredis.Nil) {
			return held, nil
		}
		if err != nil {
			return Holding{}, conn.Translate("list leases", err, conn.Repeatable)
		}
		for _, p := range list {
			held.Leases[Entry{r.Keys.Prefix, p.ID}] = HeldLease{Count: int(p.RetryCount), HasExpired: p.Idle >= lease}
		}
		if len(list) < job.MaxBatch {
			return held, nil
		}
		if held.IsComplete = len(held.Leases) < maxHeld; !held.IsComplete {
			return held, nil
		}
		start = job.CursorAfter(list[len(list)-1].ID)
	}
}

// CancelledAmong says which of some jobs were cancelled.
func (s *Settler) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	pipe := s.Commands.Pipeline()
	scores := make([]*goredis.FloatCmd, len(jobs))
	for i, job := range jobs {
		scores[i] = pipe.ZScore(ctx, s.Keys.CancelledJobs(), job)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, conn.Translate("look for cancelled jobs", err, conn.Repeatable)
	}
	var cancelled []string
	for i, job := range jobs {
		if scores[i].Err() == nil {
			cancelled = append(cancelled, job)
		}
	}
	return cancelled, nil
}

// Release gives deliveries back that nobody got, as if they had not been delivered.
func (s *Settler) Release(ctx context.Context, deliveries []Delivery) { s.release(ctx, deliveries) }
