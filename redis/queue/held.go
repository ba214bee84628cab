package queue

import (
	"cmp"
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Entry names an entry of a task stream. Different prefixes can have the same ids.
type Entry struct{ Prefix, ID string }

// HeldLease is a pending entry of a consumer.
type HeldLease struct {
	Count int // deliveries of the entry
	// HasExpired: the lease has expired, and the next read of any consumer of the group takes the entry.
	// Until then the consumer can still settle it or renew the lease.
	HasExpired bool
}

// Holding is what a consumer holds.
type Holding struct {
	Leases map[Entry]HeldLease // nil when it could not be read
	// IsComplete is false when the consumer holds more than are listed. The oldest entries are listed.
	IsComplete bool
}

// maxHeld is how many leases of a consumer Held lists.
const maxHeld = 10 * job.MaxBatch

// Held lists what a consumer holds: its pending entries.
func (rd *Reader) Held(ctx context.Context, queue, group, consumer string) (Holding, error) {
	queue, err := rd.QueueName(queue)
	if err != nil {
		return Holding{}, err
	}
	held := Holding{Leases: make(map[Entry]HeldLease), IsComplete: true}
	lease := rd.QueueSettings(queue).Lease
	for start := "-"; ; {
		list, err := rd.Commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: rd.Keys.Tasks(queue),
			Group: cmp.Or(group, rd.Settings.DefaultGroup), Start: start, End: "+", Count: job.MaxBatch, Consumer: consumer}).Result()
		if conn.IsNoKey(err) || errors.Is(err, goredis.Nil) {
			return held, nil
		}
		if err != nil {
			return Holding{}, conn.Translate("list leases", err, conn.Repeatable)
		}
		for _, p := range list {
			held.Leases[Entry{rd.Keys.Prefix, p.ID}] = HeldLease{Count: int(p.RetryCount), HasExpired: p.Idle >= lease}
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
