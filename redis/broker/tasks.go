package broker

import (
	"context"
	"maps"
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Tasks publishes, leases and settles tasks.
type Tasks struct{ *shardSet }

// Held lists what a consumer holds. With ErrUnavailable it lists what is in the shards that answer.
func (t *Tasks) Held(ctx context.Context, name, group, consumer string) (queue.Holding, error) {
	parts := make([]queue.Holding, len(t.shards))
	errs := t.all(func(i int, b *shard) (err error) {
		parts[i], err = b.reader.Held(ctx, name, group, consumer)
		return err
	})
	if !slices.Contains(errs, nil) {
		return queue.Holding{}, firstOf(errs)
	}
	held := queue.Holding{Leases: make(map[queue.Entry]queue.HeldLease), IsComplete: true}
	for i, part := range parts {
		maps.Copy(held.Leases, part.Leases)
		held.IsComplete = held.IsComplete && part.IsComplete && errs[i] == nil
	}
	return held, firstOf(errs)
}

// Release releases deliveries that no worker got, as if they had not been delivered.
func (t *Tasks) Release(ctx context.Context, deliveries []queue.Delivery) {
	_, _ = scatter(t.shardSet, deliveries, func(d queue.Delivery) int { return t.under(d.Lease.Prefix) }, func(_ int, b *shard, part []queue.Delivery) ([]struct{}, error) {
		b.settler.Release(ctx, part)
		return nil, nil
	})
}

// CancelledAmong returns those of some jobs that were cancelled.
func (t *Tasks) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	found, errs := scatter(t.shardSet, jobs, t.index, func(_ int, b *shard, part []string) ([]string, error) {
		return b.canceller.CancelledAmong(ctx, part)
	})
	return slices.DeleteFunc(found, func(job string) bool { return job == "" }), firstOf(errs)
}

// Cancellations starts to listen for jobs that this process cancels. The caller must Close
// it.
func (t *Tasks) Cancellations() *watch.Cancellations {
	all := make([]*watch.Subscriptions, len(t.shards))
	for i, b := range t.shards {
		all[i] = b.watches
	}
	return watch.NewCancellations(all...)
}

// Ack settles deliveries without recording a result.
func (t *Tasks) Ack(ctx context.Context, tokens []string) ([]queue.AckResult, error) {
	if err := queue.CheckTokens(tokens); err != nil {
		return nil, err
	}
	results, errs := scatter(t.shardSet, tokens, t.holderIndex, func(_ int, b *shard, part []string) ([]queue.AckResult, error) {
		return b.settler.Ack(ctx, part)
	})
	return results, firstOf(errs)
}

// Nack requeues a task, moves it to the dead letters, or releases it.
func (t *Tasks) Nack(ctx context.Context, r queue.NackRequest) (queue.Nacked, error) {
	return t.holder(r.Token).settler.Nack(ctx, r)
}

// Extend renews a lease, and writes fields of the job's state in the same step.
func (t *Tasks) Extend(ctx context.Context, token string, fields map[string]string) (queue.Extended, error) {
	return t.holder(token).settler.Extend(ctx, token, fields)
}

// Complete records the terminal result of a job: Broker.Complete.
func (t *Tasks) Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error) {
	return t.holder(token).recorder.Complete(ctx, token, result)
}

// CompleteBatch is Complete for many tasks: Broker.CompleteBatch.
func (t *Tasks) CompleteBatch(ctx context.Context, all []result.Completion) ([]result.Outcome, error) {
	if err := result.CheckCompletions(all); err != nil {
		return nil, err
	}
	outcomes, _ := scatter(t.shardSet, all, func(c result.Completion) int { return t.holderIndex(c.Token) }, func(_ int, b *shard, part []result.Completion) ([]result.Outcome, error) {
		return b.recorder.CompleteAll(ctx, part), nil
	})
	return outcomes, nil
}
