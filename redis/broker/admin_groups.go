package broker

import (
	"context"
	"slices"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// CreateGroup creates a consumer group of a queue, and the queue if it is missing. The group receives
// what the queue holds now and what is published from now on, and keeps it until workers of the group
// have settled it. created is false when the group existed. Errors: job.ErrTooManyGroups,
// job.ErrTooManyQueues.
func (a *Admin) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	isNew := make([]bool, len(a.shards))
	errs := a.all(func(i int, s *shard) (err error) {
		isNew[i], err = s.queues.CreateGroup(ctx, queue, group)
		return err
	})
	return slices.Contains(isNew, true), firstError(errs)
}

// DeleteGroup deletes a consumer group. Entries that only this group had not settled are removed by
// the cleaner. With force the group is deleted even if its workers hold tasks; they lose their
// leases. Errors: job.ErrGroupNotFound; job.ErrGroupInUse; job.ErrInvalid for a group that the
// settings name.
func (a *Admin) DeleteGroup(ctx context.Context, queue, group string, force bool) error {
	return a.unlessAll(a.all(func(_ int, s *shard) error { return s.queues.DeleteGroup(ctx, queue, group, force) }), job.ErrGroupNotFound)
}
