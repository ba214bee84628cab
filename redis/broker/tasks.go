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

// Held lists the leases of a consumer, expired ones included. Of a consumer with very many leases it
// lists the first, and IsComplete is false. When some shards are unavailable it returns the leases in
// the others together with job.ErrUnavailable; when none answers, no leases.
func (t *Tasks) Held(ctx context.Context, name, group, consumer string) (queue.Holding, error) {
	parts := make([]queue.Holding, len(t.shards))
	errs := t.all(func(i int, s *shard) (err error) {
		parts[i], err = s.reader.Held(ctx, name, group, consumer)
		return err
	})
	if !slices.Contains(errs, nil) {
		return queue.Holding{}, firstError(errs)
	}
	held := queue.Holding{Leases: make(map[queue.Entry]queue.HeldLease), IsComplete: true}
	for i, part := range parts {
		maps.Copy(held.Leases, part.Leases)
		held.IsComplete = held.IsComplete && part.IsComplete && errs[i] == nil
	}
	return held, firstError(errs)
}

// Release ends the leases of deliveries that no worker received, as if they had not been delivered:
// the tasks keep their place, and no attempt is counted. It completes although ctx has ended. A task
// that can't be released is delivered again when its lease expires; that is logged.
func (t *Tasks) Release(ctx context.Context, deliveries []queue.Delivery) {
	shardOf := func(d queue.Delivery) int { return t.withPrefix(d.Lease.Prefix) }
	_, _ = scatter(t.shardSet, deliveries, shardOf, func(_ int, s *shard, part []queue.Delivery) ([]struct{}, error) {
		s.settler.Release(ctx, part)
		return nil, nil
	})
}

// CancelledAmong returns those of the jobs that were cancelled.
func (t *Tasks) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	found, errs := scatter(t.shardSet, jobs, t.index, func(_ int, s *shard, part []string) ([]string, error) {
		return s.canceller.CancelledAmong(ctx, part)
	})
	return slices.DeleteFunc(found, func(jobID string) bool { return jobID == "" }), firstError(errs)
}

// Cancellations subscribes to the cancellations that this process makes in any shard. The caller must
// Close the subscription.
func (t *Tasks) Cancellations() *watch.Cancellations {
	all := make([]*watch.Subscriptions, len(t.shards))
	for i, s := range t.shards {
		all[i] = s.watches
	}
	return watch.NewCancellations(all...)
}

// Ack settles 1 to job.MaxBatch deliveries without recording a result. It returns one outcome for
// each token, in their order; a token that is not valid fails only its own outcome. After an error
// some of the deliveries may be settled; repeating the call is safe.
func (t *Tasks) Ack(ctx context.Context, tokens []string) ([]queue.AckResult, error) {
	if err := queue.CheckTokens(tokens); err != nil {
		return nil, err
	}
	results, errs := scatter(t.shardSet, tokens, t.holderIndex, func(_ int, s *shard, part []string) ([]queue.AckResult, error) {
		return s.settler.Ack(ctx, part)
	})
	return results, firstError(errs)
}

// Nack ends a lease without a result. The task goes to the end of its queue, at once or after a delay,
// or to the dead letters; with Release it keeps its place, as if it had not been delivered. A task
// that failed as often as its queue allows goes to the dead letters, and that of a cancelled job is
// dropped. The number of attempts stays with the task.
//
// Errors: job.ErrLeaseToken, job.ErrLeaseLost. After each of them nothing was written.
func (t *Tasks) Nack(ctx context.Context, r queue.NackRequest) (queue.Nacked, error) {
	return t.holder(r.Token).settler.Nack(ctx, r)
}

// Extend renews a lease and writes fields of the job's state in the same step. It reports whether the
// job was cancelled.
//
// Errors: job.ErrLeaseToken; job.ErrLeaseLost; job.ErrInvalid when the state would become too large.
// After each of them the lease was not renewed.
func (t *Tasks) Extend(ctx context.Context, token string, fields map[string]string) (queue.Extended, error) {
	return t.holder(token).settler.Extend(ctx, token, fields)
}

// Complete records the one terminal result of a job, or of a part of it, and settles the task, in one
// step. Repeating the call with the same token is safe; it then reports that the job has its result
// already.
//
// Errors: job.ErrInvalid, job.ErrLeaseToken, job.ErrLeaseLost. After each of them nothing was written.
func (t *Tasks) Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error) {
	return t.holder(token).recorder.Complete(ctx, token, result)
}

// CompleteBatch is Complete for 1 to job.MaxBatch tasks. It returns one outcome for each, in their
// order, with the errors of Complete; one that fails affects no other. The error is about the size of
// the batch only.
func (t *Tasks) CompleteBatch(ctx context.Context, all []result.Completion) ([]result.Outcome, error) {
	if err := result.CheckCompletions(all); err != nil {
		return nil, err
	}
	shardOf := func(c result.Completion) int { return t.holderIndex(c.Token) }
	outcomes, _ := scatter(t.shardSet, all, shardOf, func(_ int, s *shard, part []result.Completion) ([]result.Outcome, error) {
		return s.recorder.CompleteAll(ctx, part), nil
	})
	return outcomes, nil
}
