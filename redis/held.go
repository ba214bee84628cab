package redis

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"
)

// Entry names an entry of a task stream. Under several prefixes ids may be the same.
type Entry struct{ Prefix, ID string }

// Held lists what a consumer holds: the delivery counts of its pending entries, up to
// MaxBatch. Leases that ran out are among them until someone takes them.
func (b *Broker) Held(ctx context.Context, queue, group, consumer string) (map[Entry]int, error) {
	queue, err := b.queueName(queue)
	if err != nil {
		return nil, err
	}
	list, err := b.client.commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: b.keys.tasks(queue),
		Group: orDefault(group, b.config.DefaultGroup), Start: "-", End: "+", Count: MaxBatch, Consumer: consumer}).Result()
	if isNoKey(err) || errors.Is(err, goredis.Nil) {
		return nil, nil
	}
	if err != nil {
		return nil, translate("list leases", err, repeatable)
	}
	held := make(map[Entry]int, len(list))
	for _, p := range list {
		held[Entry{b.keys.prefix, p.ID}] = int(p.RetryCount)
	}
	return held, nil
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
	box     *mailbox
	brokers []*Broker
	ears    []*ear
}

// Cancellations starts to listen. The caller must Close it.
func (b *Broker) Cancellations() *Cancellations { return cancellations(b) }

func cancellations(brokers ...*Broker) *Cancellations {
	c := &Cancellations{box: newMailbox(), brokers: brokers, ears: make([]*ear, len(brokers))}
	for i, b := range brokers {
		c.ears[i] = &ear{box: c.box, key: b.keys.cancelledJobs(), isState: true}
		b.bell.listen(c.ears[i])
	}
	return c
}

// Mail has a signal when a job was cancelled.
func (c *Cancellations) Mail() <-chan struct{} {
	c.box.take(len(c.ears))
	return c.box.mail
}

// Close ends it.
func (c *Cancellations) Close() {
	for i, b := range c.brokers {
		b.bell.mute(c.ears[i])
	}
}

// Release gives deliveries back that nobody got, as if they had not been delivered.
func (b *Broker) Release(ctx context.Context, deliveries []Delivery) { b.release(ctx, deliveries) }
