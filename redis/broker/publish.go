package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Publish adds a task to its queue. deduplicated: an earlier call with the same request id has added it.
func (t *Tasks) Publish(ctx context.Context, r queue.PublishRequest) (queue.Published, bool, error) {
	i := t.home(r.PublishOptions, r.Task.JobID)
	if r.RequestID == "" || len(t.shards) == 1 {
		return t.shards[i].publisher.Publish(ctx, r)
	}
	if err := r.Check(); err != nil {
		return queue.Published{}, false, err
	}
	claim, err := t.of(r.RequestID).publisher.Claim(ctx, r.Publication())
	if err != nil {
		return queue.Published{}, false, err
	}
	p, deduplicated, err := t.shards[i].publisher.Publish(ctx, r)
	if err != nil {
		claim.Release(ctx, err)
	}
	return p, deduplicated, err
}

// home is the shard of a task to be published. A task without a job id may be in any shard, but with a
// request id always in the same one.
func (t *Tasks) home(o queue.PublishOptions, jobID string) int {
	switch {
	case jobID != "":
		return t.index(jobID)
	case o.RequestID != "":
		return t.index(o.RequestID)
	}
	return t.nextIndex()
}

// PublishBatch adds tasks to their queue. The tasks of one shard are published all or none; those
// without a job id are in one shard together. When only some shards reject theirs, the error is
// ErrOutcomeUnknown, unless there is a request id: then the call can be repeated.
func (t *Tasks) PublishBatch(ctx context.Context, r queue.PublishBatchRequest) (all []queue.Published, deduplicated bool, err error) {
	if len(t.shards) == 1 {
		return t.shards[0].publisher.PublishBatch(ctx, r)
	}
	if err := r.Check(); err != nil {
		return nil, false, err
	}
	claim, err := t.of(r.RequestID).publisher.Claim(ctx, r.Publication())
	if err != nil {
		return nil, false, err
	}
	spare := t.home(r.PublishOptions, "")
	asked, fresh := make([]bool, len(t.shards)), make([]bool, len(t.shards))
	shardOf := func(task job.Task) int {
		if task.JobID == "" {
			return spare
		}
		return t.index(task.JobID)
	}
	all, errs := scatter(t.shardSet, r.Tasks, shardOf, func(i int, b *shard, tasks []job.Task) ([]queue.Published, error) {
		part := r
		part.Tasks = tasks
		published, deduplicated, err := b.publisher.PublishBatch(ctx, part)
		asked[i], fresh[i] = true, !deduplicated && err == nil
		return published, err
	})
	parts := len(slices.DeleteFunc(asked, func(was bool) bool { return !was }))
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch {
	case len(failed) == 0:
		return all, !slices.Contains(fresh, true), nil
	case len(failed) < parts && r.RequestID == "":
		return nil, false, fmt.Errorf("publish: %w: some tasks were published, others not: %w", job.ErrOutcomeUnknown, failed[0])
	case len(failed) == parts:
		claim.Release(ctx, failed...)
	}
	return nil, false, failed[0]
}
