package broker

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// MoveDue moves the delayed tasks that are due, as the scheduler does by itself.
func (b *Broker) MoveDue(ctx context.Context) error {
	return firstError(b.set.all(func(_ int, s *shard) error { return s.scheduler.MoveDue(ctx) }))
}

// Dismiss removes consumers as Clean does, with another limit to how long they are idle.
func (b *Broker) Dismiss(ctx context.Context, queue string, idle time.Duration) error {
	return firstError(b.set.all(func(_ int, s *shard) error { return s.cleaner.RemoveIdleConsumers(ctx, queue, idle) }))
}

// ForgetQueue forgets an empty queue as Clean does, with another limit to how long it is so.
func (b *Broker) ForgetQueue(ctx context.Context, queue string, idle time.Duration) error {
	return firstError(b.set.all(func(_ int, s *shard) error { return s.cleaner.ForgetQueue(ctx, queue, idle) }))
}

// Leave removes consumers that hold nothing.
func (b *Broker) Leave(ctx context.Context, queue, group, consumer string) error {
	return firstError(b.set.all(func(_ int, s *shard) error {
		_, err := conn.LeaveScript.Run(ctx, s.Conn, conn.Repeatable, []string{s.Keys.Tasks(queue)}, group, consumer)
		return err
	}))
}

// Heal corrects the stored status of a job, as the broker does in the background.
func (b *Broker) Heal(ctx context.Context, jobID string) error {
	return b.set.of(jobID).results.Heal(ctx, jobID)
}

// ScriptName is the name of the script with a hash; "eval" if it is none, but a text.
func ScriptName(sha string) string { return conn.ScriptName(sha) }

// Accepts reports whether a read of the queue waits in every shard that a publisher may lease a task for.
// It offers such a read a hand-over and ends the offer with nothing.
func Accepts(b *Broker, queue string) bool {
	for _, s := range b.set.shards {
		waiter, _ := s.waiters.Offer(s.Keys.Tasks(queue))
		if waiter == nil {
			return false
		}
		waiter.Grant(nil)
	}
	return true
}
