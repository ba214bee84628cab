package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Scheduler moves tasks into their streams: delayed ones when they are due, and those of fair queues in
// turn.
type Scheduler struct {
	*conn.Shard
	waiters *Waitlists
	due     *alarm // for the next delayed task
	settled settledTasks
}

// NewScheduler returns a scheduler. The caller must call Run.
func NewScheduler(shard *conn.Shard, waiters *Waitlists) *Scheduler {
	return &Scheduler{Shard: shard, waiters: waiters, due: newAlarm()}
}

const (
	// moveLimit is how many delayed tasks one script call moves.
	moveLimit = 200
	// fairPeriod is how often tasks of fair queues are moved into their streams for raw workers; for
	// others they are moved by reads.
	fairPeriod = 100 * time.Millisecond
)

// Run moves tasks until ctx ends. Every process does so for every queue of the prefix; the script moves
// each task once.
func (s *Scheduler) Run(ctx context.Context) {
	for s.due.wait(ctx) {
		in, err := s.moveAll(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("moving delayed tasks failed", "error", err)
			in = conn.LongPeriod / 4
		}
		s.due.set(in)
	}
}

// MoveDue moves what is due now.
func (s *Scheduler) MoveDue(ctx context.Context) error {
	_, err := s.moveAll(ctx)
	return err
}

// Settled records that a task is no longer in flight.
func (s *Scheduler) Settled(lease job.Lease) {
	if lease.EntryID == "" || !s.QueueSettings(lease.Queue).HasInFlightLimit() {
		return
	}
	s.settled.add(lease.Queue, lease.EntryID)
	s.due.set(0)
}

// moveAll moves what is due in all queues, and returns when to do so next.
func (s *Scheduler) moveAll(ctx context.Context) (time.Duration, error) {
	queues, err := s.Commands.SMembers(ctx, s.Keys.Tenant().DelayedQueues()).Result()
	if err != nil {
		return 0, conn.Translate("list delayed queues", err, conn.Repeatable)
	}
	settled := s.settled.take()
	for queue := range settled {
		queues = append(queues, queue)
	}
	slices.Sort(queues)
	next := conn.LongPeriod
	var errs []error
	for _, queue := range slices.Compact(queues) {
		in, err := s.moveQueue(ctx, queue, settled[queue])
		errs = append(errs, err)
		if err == nil {
			next = min(next, in)
		}
	}
	return next, errors.Join(errs...)
}

// moveQueue moves what is due in a queue, and returns when to do so next.
func (s *Scheduler) moveQueue(ctx context.Context, queue string, settled []string) (time.Duration, error) {
	args := moveArgs{Queue: queue, Max: moveLimit, DeadTTL: s.Settings.DeadLetterTTL, Fairness: s.Fairness(queue),
		DefaultGroup: s.Settings.DefaultGroup, Settled: settled}
	hasLimit := s.QueueSettings(queue).HasInFlightLimit()
	for {
		args.IsCounting = hasLimit && s.settled.isCountDue(queue)
		start := time.Now()
		reply, err := args.run(ctx, s.Shard)
		if err != nil {
			return 0, err
		}
		if args.IsCounting {
			s.settled.counted(queue, time.Since(start))
		}
		if reply.Moved > 0 {
			s.waiters.NotifyEach(s.Keys.Tasks(queue), reply.Moved)
		}
		if reply.Moved >= moveLimit {
			continue
		}
		next := reply.Next
		if reply.Backlog > 0 {
			next = min(next, fairPeriod)
		}
		return next, nil
	}
}
