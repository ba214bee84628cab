package broker

import (
	"context"
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Queues lists a page of the known queues by name, with their sizes in all shards: count of them after
// a name, "" for the first page. next is the name to continue after, "" at the end. Queues whose keys
// hold another type are left out.
func (a *Admin) Queues(ctx context.Context, after string, count int) (queues []admin.QueueInfo, next string, err error) {
	lists := make([][]string, len(a.shards))
	errs := a.all(func(i int, s *shard) (err error) {
		lists[i], err = s.QueueNames(ctx)
		return err
	})
	if err := firstError(errs); err != nil {
		return nil, "", err
	}
	names := slices.Concat(lists...)
	slices.Sort(names)
	names, next, err = admin.PageOfNames(slices.Compact(names), after, count)
	if err != nil {
		return nil, "", err
	}
	parts := make([][]admin.QueueInfo, len(a.shards))
	errs = a.all(func(i int, s *shard) (err error) {
		parts[i], err = s.queues.Describe(ctx, names)
		return err
	})
	return mergeQueues(parts), next, firstError(errs)
}

// Queue describes one queue. job.ErrQueueNotFound when no shard has it.
func (a *Admin) Queue(ctx context.Context, name string) (admin.QueueInfo, error) {
	parts := make([][]admin.QueueInfo, len(a.shards))
	errs := a.all(func(i int, s *shard) error {
		q, err := s.queues.Get(ctx, name)
		if err == nil {
			parts[i] = []admin.QueueInfo{q}
		}
		return err
	})
	if err := a.unlessAll(errs, job.ErrQueueNotFound); err != nil {
		return admin.QueueInfo{}, err
	}
	return mergeQueues(parts)[0], nil
}

// Consumers lists the consumers of a queue, by group and name: of one group, or of all groups if it is
// "". job.ErrQueueNotFound.
func (a *Admin) Consumers(ctx context.Context, queue, group string) ([]admin.ConsumerInfo, error) {
	parts := make([][]admin.ConsumerInfo, len(a.shards))
	errs := a.all(func(i int, s *shard) (err error) {
		parts[i], err = s.queues.Consumers(ctx, queue, group)
		return err
	})
	return mergeConsumers(parts), a.unlessAll(errs, job.ErrQueueNotFound)
}

// Pause stops the delivery of a queue's tasks until Resume. Publishing continues, and workers can
// settle what they hold. job.ErrTooManyQueues for a queue that is not known yet.
func (a *Admin) Pause(ctx context.Context, queue string) error {
	return firstError(a.all(func(_ int, s *shard) error { return s.queues.Pause(ctx, queue) }))
}

// Resume ends a pause and wakes waiting reads.
func (a *Admin) Resume(ctx context.Context, queue string) error {
	return firstError(a.all(func(_ int, s *shard) error { return s.queues.Resume(ctx, queue) }))
}

// Purge removes the tasks that a queue has now, except leased ones. Their jobs end as cancelled.
// After an error a part of the queue may be purged. job.ErrQueueNotFound.
func (a *Admin) Purge(ctx context.Context, queue string) (sum admin.Purged, err error) {
	parts := make([]admin.Purged, len(a.shards))
	errs := a.all(func(i int, s *shard) (err error) {
		parts[i], err = s.queues.Purge(ctx, queue)
		return err
	})
	for _, p := range parts {
		sum.Waiting, sum.Delayed, sum.Leased = sum.Waiting+p.Waiting, sum.Delayed+p.Delayed, sum.Leased+p.Leased
	}
	return sum, a.unlessAll(errs, job.ErrQueueNotFound)
}
