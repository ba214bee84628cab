package watch

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// polling finds changes by looking, where Redis does not push them.
type polling struct {
	*conn.Shard
	waiters  Waitlists
	watches  *Subscriptions
	states   *stateReader
	tracking *tracking
	sweeps   atomic.Int64
}

// The broker rings its own bell for what it writes itself. What others write, raw peers
// and other servers, Redis rings for (tracker.go). Where it doesn't, it is found by sweeping
// what is waited for, as often as a small share of time allows: every few milliseconds for a
// few keys, every second for very many.
const (
	pollEventsPeriod = 10 * time.Millisecond
	sweepChunk       = 500
	// A sweep gets one event, of any size, of each stream with something new: fewer at a time
	// after one that got more than sweepBytes.
	sweepBytes = 1 << 20
	leastSwept = 8
	// A sweep that took t is followed by a pause of sweepShare × t.
	sweepShare = 20
	// statePeriod is how often the states that are watched are read. Each adds stateCost.
	statePeriod = 100 * time.Millisecond
	stateCost   = 200 * time.Microsecond
	// lookPeriod is how often every watch looks for itself: a sweep does not see that events
	// were deleted. Each watched key adds lookCost.
	lookPeriod = 2 * time.Second
	lookCost   = time.Millisecond
	pollPeriod = 25 * time.Millisecond
	// While Redis rings, workers are woken for leases that ran out only.
	trackedPollPeriod = 250 * time.Millisecond
	// Each task line adds this much to the period.
	pollCost = 500 * time.Microsecond
	// untrackedPeriod is how long a Redis that doesn't track keys is left alone.
	untrackedPeriod = time.Minute
)

// PollEvents rings for completion streams that have something new, and now and then
// has all states read, while Redis does not ring; and for those that it can't ring for.
func (p *polling) PollEvents(ctx context.Context) {
	states, look, grown := time.Now(), time.Now(), time.Now()
	n := sweepChunk // how many streams one call sweeps
	for {
		isTracking := p.tracking.tracker.Load() != nil
		start, period := time.Now(), pollEventsPeriod
		if start.Sub(grown) > growPeriod {
			p.watches.Grow()
			grown = start
		}
		positions := p.watches.PolledEntries(isTracking)
		if len(positions) == 0 {
			period *= 5
		}
		if polled := p.watches.PolledValues(isTracking); start.Sub(states) > max(statePeriod, time.Duration(len(polled))*stateCost) {
			for _, key := range polled {
				p.states.watched.want(key)
			}
			states = start
		}
		if start.Sub(look) > max(lookPeriod, time.Duration(len(positions))*lookCost) {
			if isTracking {
				p.watches.NotifyPolled()
			} else {
				p.tracking.notifyAll()
			}
			look = start
		}
		if len(positions) > 0 {
			p.sweeps.Add(1)
		}
		for len(positions) > 0 {
			chunk := positions[:min(n, len(positions))]
			positions = positions[len(chunk):]
			bytes, err := p.pollChunk(ctx, chunk)
			if n = min(2*n, sweepChunk); bytes > sweepBytes {
				n = max(leastSwept, len(chunk)/4)
			}
			if err != nil && ctx.Err() == nil {
				p.Log.Debug("sweep of completions failed", "error", err)
				period = conn.LongPeriod / 4
			}
		}
		if !conn.Pause(ctx, min(conn.LongPeriod, max(period, sweepShare*time.Since(start)))) {
			return
		}
	}
}

// pollChunk rings for those of some streams that have something new, and says how many bytes it
// got to see that.
func (polling *polling) pollChunk(ctx context.Context, positions []notify.Position) (bytes int, err error) {
	streams := make([]string, 2*len(positions))
	for i, p := range positions {
		streams[i], streams[len(positions)+i] = p.Key, p.Entry
	}
	news, err := polling.Commands.XRead(ctx, &goredis.XReadArgs{Streams: streams, Count: 1, Block: -1}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	var reply goredis.Error
	if errors.As(err, &reply) {
		// One key of a wrong type hides the others: let everyone look for himself.
		for _, p := range positions {
			polling.watches.NotifyKey(p.Key)
		}
	}
	for _, stream := range news {
		for _, m := range stream.Messages {
			for _, value := range m.Values {
				text, _ := value.(string)
				bytes += len(text)
			}
		}
		polling.watches.NotifyKey(stream.Stream)
	}
	return bytes, conn.Translate("sweep", err, conn.Repeatable)
}

// PollTasks wakes the first worker of each line now and then: he looks for leases that ran
// out, and, while Redis does not ring, for tasks that others published.
func (p *polling) PollTasks(ctx context.Context) {
	for {
		lines, period := p.waiters.NotifyAll(), pollPeriod
		switch {
		case p.tracking.tracker.Load() != nil:
			period = trackedPollPeriod
		case lines == 0:
			period *= 2
		}
		if !conn.Pause(ctx, min(conn.LongPeriod, max(period, time.Duration(lines)*pollCost))) {
			return
		}
	}
}
