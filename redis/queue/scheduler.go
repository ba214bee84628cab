package queue

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Scheduler moves tasks into their streams: delayed ones when they are due, those of fair queues
// when it is their turn.
type Scheduler struct {
	*conn.Shard
	waiters  *Waitlists
	due      *alarm // for the next delayed task
	inFlight settledTasks
}

// NewScheduler returns a scheduler. Run must be called for it.
func NewScheduler(shard *conn.Shard, waiters *Waitlists) *Scheduler {
	return &Scheduler{Shard: shard, waiters: waiters, due: newAlarm()}
}

// moveLimit is how many delayed tasks one script call moves.
const moveLimit = 200

// Run moves delayed tasks into their queues when they are due. Every broker
// does it, for every queue of the prefix; the script lets none be moved twice.
func (s *Scheduler) Run(ctx context.Context) {
	for s.due.wait(ctx) {
		in, err := s.moveDue(ctx)
		if err != nil && ctx.Err() == nil {
			s.Log.Warn("moving delayed tasks failed", "error", err)
			in = conn.LongPeriod / 4
		}
		s.due.set(in)
	}
}

// alarm goes off at the earliest of the times it was set to, and at least every
// longPeriod.
type alarm struct {
	mu    sync.Mutex
	at    time.Time
	moved chan struct{}
}

func newAlarm() *alarm { return &alarm{at: time.Now(), moved: make(chan struct{}, 1)} }

// set makes the alarm go off in d, if it would not before that.
func (a *alarm) set(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := time.Now().Add(d); at.Before(a.at) {
		a.at = at
		select {
		case a.moved <- struct{}{}:
		default:
		}
	}
}

// wait waits until the alarm goes off; false when the context ended first.
func (a *alarm) wait(ctx context.Context) bool {
	for {
		a.mu.Lock()
		left := time.Until(a.at)
		if left <= 0 {
			a.at = time.Now().Add(conn.LongPeriod)
			a.mu.Unlock()
			return ctx.Err() == nil
		}
		a.mu.Unlock()
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-a.moved:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// MoveDue moves what is due now.
func (s *Scheduler) MoveDue(ctx context.Context) error {
	_, err := s.moveDue(ctx)
	return err
}

// moveDue moves what is due, and says when the next is.
func (s *Scheduler) moveDue(ctx context.Context) (time.Duration, error) {
	queues, err := s.Commands.SMembers(ctx, s.Keys.DelayedQueues()).Result()
	if err != nil {
		return 0, conn.Translate("list delayed queues", err, conn.Repeatable)
	}
	next := conn.LongPeriod
	var errs []error
	settled := s.inFlight.take()
	for queue := range settled {
		queues = append(queues, queue)
	}
	slices.Sort(queues)
	for _, queue := range slices.Compact(queues) {
		in, err := s.moveQueue(ctx, queue, settled[queue])
		errs = append(errs, err)
		if err == nil {
			next = min(next, in)
		}
	}
	return next, errors.Join(errs...)
}

func (s *Scheduler) moveQueue(ctx context.Context, queue string, settled []string) (time.Duration, error) {
	keys := []string{s.Keys.Delayed(queue), s.Keys.Tasks(queue), s.Keys.DelayedQueues(), s.Keys.DeadLetters(queue)}
	keys = append(keys, s.FairKeys(queue)...)
	config := s.QueueSettings(queue)
	for {
		count := ""
		if config.HasInFlightLimit() && s.inFlight.isCountDue(queue) {
			count = "count"
		}
		start := time.Now()
		args := []any{queue, moveLimit, s.Settings.DeadLetterTTL.Milliseconds(), s.Fairness(queue), count, s.Settings.DefaultGroup}
		reply, err := conn.MoveScript.Strings(ctx, s.Conn, conn.Repeatable, keys, conn.AppendStrings(args, settled)...)
		if err != nil {
			return 0, err
		}
		if count != "" { // the more there is to count, the more rarely
			s.inFlight.counted(queue, time.Since(start))
		}
		moved, err := resp.Number(reply[0])
		if err != nil {
			return 0, err
		}
		if moved > 0 {
			s.waiters.NotifyEach(keys[1], int(moved))
		}
		if moved >= moveLimit {
			continue
		}
		in := conn.LongPeriod
		if reply[1] != "" {
			ms, err := resp.Number(reply[1])
			if err != nil {
				return 0, err
			}
			in = time.Duration(ms) * time.Millisecond
		}
		if reply[2] != "0" {
			in = min(in, fairPeriod)
		}
		return in, nil
	}
}
