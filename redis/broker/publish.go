package broker

import (
	"context"
	"fmt"
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Publish appends a task to its queue, or schedules it when the request has a delay. It returns when
// Redis, and as many replicas as the queue demands, have the task. Where a read of this process waits
// for the queue, the task is leased to it in the same round trip.
//
// With a request id, a repetition within the request window publishes nothing, and returns the
// first call's result with deduplicated set. Without one, job.ErrOutcomeUnknown means that the task
// may have been published.
//
// Errors: job.ErrRequestIDConflict when the request id was used with another request;
// job.ErrJobExists when the request has a state and the job has one already; job.ErrJobActive in a
// queue of unique jobs; job.ErrQueueFull; job.ErrTooManyQueues. After each of them nothing was
// written.
func (t *Tasks) Publish(ctx context.Context, r queue.PublishRequest) (p queue.Published, deduplicated bool, err error) {
	i := t.home(r.PublishOptions, r.Task.JobID)
	if r.RequestID == "" || len(t.shards) == 1 {
		return t.shards[i].publisher.Publish(ctx, r)
	}
	if err := r.Check(); err != nil {
		return queue.Published{}, false, err
	}
	claim, err := t.claim(ctx, r.Publication(), queue.TaskField)
	if err != nil {
		return queue.Published{}, false, err
	}
	p, deduplicated, err = t.shards[i].publisher.Publish(ctx, r)
	if err != nil {
		claim.release(ctx, err)
	}
	return p, deduplicated, err
}

// home is the shard of a task to be published. Without a job id any shard will do, but a repetition
// must find the same one: it follows from the request id.
func (t *Tasks) home(o queue.PublishOptions, jobID string) int {
	switch {
	case jobID != "":
		return t.index(jobID)
	case o.RequestID != "":
		return t.index(o.RequestID)
	}
	return t.nextIndex()
}

// PublishBatch appends 1 to job.MaxBatch tasks to one queue, in their order. Errors and deduplication
// are those of Publish; an error about one of the jobs is a *job.JobError.
//
// The tasks of one shard are published all or none; tasks without a job id share a shard. When some
// shards publish their tasks and others refuse theirs, the error is job.ErrOutcomeUnknown. With a
// request id it is the error of the shard that refused: repeating the call publishes what is missing.
func (t *Tasks) PublishBatch(ctx context.Context, r queue.PublishBatchRequest) (all []queue.Published, deduplicated bool, err error) {
	if len(t.shards) == 1 {
		return t.shards[0].publisher.PublishBatch(ctx, r)
	}
	if err := r.Check(); err != nil {
		return nil, false, err
	}
	claim, err := t.claim(ctx, r.Publication(), queue.BatchField)
	if err != nil {
		return nil, false, err
	}
	withoutID := t.home(r.PublishOptions, "")
	shardOf := func(task job.Task) int {
		if task.JobID == "" {
			return withoutID
		}
		return t.index(task.JobID)
	}
	parts, isNew := make([]bool, len(t.shards)), make([]bool, len(t.shards))
	all, errs := scatter(t.shardSet, r.Tasks, shardOf, func(i int, s *shard, tasks []job.Task) ([]queue.Published, error) {
		part := r
		part.Tasks = tasks
		published, deduplicated, err := s.publisher.PublishBatch(ctx, part)
		parts[i], isNew[i] = true, !deduplicated && err == nil
		return published, err
	})
	used := len(slices.DeleteFunc(parts, func(isUsed bool) bool { return !isUsed }))
	failed := slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	switch {
	case len(failed) == 0:
		return all, !slices.Contains(isNew, true), nil
	case len(failed) < used && r.RequestID == "":
		return nil, false, fmt.Errorf("publish: %w: some tasks were published, others not: %w", job.ErrOutcomeUnknown, failed[0])
	case len(failed) == used:
		claim.release(ctx, failed...)
	}
	return nil, false, failed[0]
}
