package redis

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"
)

// moveLimit is how many delayed tasks one script call moves.
const moveLimit = 200

// moveDelayed moves delayed tasks into their queues when they are due. Every broker
// does it, for every queue of the prefix; the script lets none be moved twice.
func (b *Broker) moveDelayed(ctx context.Context) {
	for b.due.wait(ctx) {
		in, err := b.moveDue(ctx)
		if err != nil && ctx.Err() == nil {
			b.log.Warn("moving delayed tasks failed", "error", err)
			in = longPeriod / 4
		}
		b.due.set(in)
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
			a.at = time.Now().Add(longPeriod)
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

// moveDue moves what is due, and says when the next is.
func (b *Broker) moveDue(ctx context.Context) (time.Duration, error) {
	queues, err := b.client.commands.SMembers(ctx, b.keys.delayedQueues()).Result()
	if err != nil {
		return 0, translate("list delayed queues", err, repeatable)
	}
	next := longPeriod
	var errs []error
	settled := b.settledTasks.take()
	for queue := range settled {
		queues = append(queues, queue)
	}
	slices.Sort(queues)
	for _, queue := range slices.Compact(queues) {
		in, err := b.moveQueue(ctx, queue, settled[queue])
		errs = append(errs, err)
		if err == nil {
			next = min(next, in)
		}
	}
	return next, errors.Join(errs...)
}

func (b *Broker) moveQueue(ctx context.Context, queue string, settled []string) (time.Duration, error) {
	keys := []string{b.keys.delayed(queue), b.keys.tasks(queue), b.keys.delayedQueues(), b.keys.deadLetters(queue)}
	keys = append(keys, b.fairKeys(queue)...)
	config := b.queueConfig(queue)
	for {
		count := ""
		if config.hasFlightLimit() && b.settledTasks.isCountDue(queue) {
			count = "count"
		}
		start := time.Now()
		args := []any{queue, moveLimit, b.config.DeadLetterTTL.Milliseconds(), b.fairness(queue), count, b.config.DefaultGroup}
		reply, err := moveScript.strings(ctx, b.client, repeatable, keys, appendStrings(args, settled)...)
		if err != nil {
			return 0, err
		}
		if count != "" { // the more there is to count, the more rarely
			b.settledTasks.counted(queue, time.Since(start))
		}
		moved, err := number(reply[0])
		if err != nil {
			return 0, err
		}
		if moved > 0 {
			b.waiters.NotifyEach(keys[1], int(moved))
		}
		if moved >= moveLimit {
			continue
		}
		in := longPeriod
		if reply[1] != "" {
			ms, err := number(reply[1])
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
