package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
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
const maxHeld = 10 * MaxBatch

// Held lists what a consumer holds: its pending entries.
func (b *Broker) Held(ctx context.Context, queue, group, consumer string) (Holding, error) {
	queue, err := b.queueName(queue)
	if err != nil {
		return Holding{}, err
	}
	held := Holding{Leases: make(map[Entry]HeldLease), IsComplete: true}
	lease := b.queueConfig(queue).Lease
	for start := "-"; ; {
		list, err := b.client.commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: b.keys.tasks(queue),
			Group: orDefault(group, b.config.DefaultGroup), Start: start, End: "+", Count: MaxBatch, Consumer: consumer}).Result()
		if isNoKey(err) || errors.Is(err, goredis.Nil) {
			return held, nil
		}
		if err != nil {
			return Holding{}, translate("list leases", err, repeatable)
		}
		for _, p := range list {
			held.Leases[Entry{b.keys.prefix, p.ID}] = HeldLease{Count: int(p.RetryCount), HasExpired: p.Idle >= lease}
		}
		if len(list) < MaxBatch {
			return held, nil
		}
		if held.IsComplete = len(held.Leases) < maxHeld; !held.IsComplete {
			return held, nil
		}
		start = cursorAfter(list[len(list)-1].ID)
	}
}

// CancelledAmong says which of some jobs were cancelled.
func (b *Broker) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	pipe := b.client.commands.Pipeline()
	scores := make([]*goredis.FloatCmd, len(jobs))
	for i, job := range jobs {
		scores[i] = pipe.ZScore(ctx, b.keys.cancelledJobs(), job)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, translate("look for cancelled jobs", err, repeatable)
	}
	var cancelled []string
	for i, job := range jobs {
		if scores[i].Err() == nil {
			cancelled = append(cancelled, job)
		}
	}
	return cancelled, nil
}

// Cancellations hear that this process cancelled a job. What others cancelled they don't.
type Cancellations struct {
	box     *notify.Inbox[*follower, update]
	brokers []*Broker
	ears    []*subscription
}

// Cancellations starts to listen. The caller must Close it.
func (b *Broker) Cancellations() *Cancellations { return cancellations(b) }

func cancellations(brokers ...*Broker) *Cancellations {
	c := &Cancellations{box: notify.NewInbox[*follower, update](), brokers: brokers, ears: make([]*subscription, len(brokers))}
	for i, b := range brokers {
		c.ears[i] = &subscription{Inbox: c.box, Key: b.keys.cancelledJobs(), IsValue: true}
		b.subscriptions.Subscribe(c.ears[i], "")
	}
	return c
}

// Mail has a signal when a job was cancelled.
func (c *Cancellations) Mail() <-chan struct{} {
	c.box.Take(len(c.ears))
	return c.box.Mail()
}

// Close ends it.
func (c *Cancellations) Close() {
	for i, b := range c.brokers {
		b.subscriptions.Unsubscribe(c.ears[i])
	}
}

// Release gives deliveries back that nobody got, as if they had not been delivered.
func (b *Broker) Release(ctx context.Context, deliveries []Delivery) { b.release(ctx, deliveries) }
