package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// polling finds changes of keys that Redis does not push: of all while there is no tracking
// connection, otherwise of those beyond the tracking limit. What this process writes is notified
// without it; polling is for raw peers and other servers.
type polling struct {
	log           *slog.Logger
	xread         func(context.Context, *goredis.XReadArgs) *goredis.XStreamSliceCmd
	waiters       Waitlists
	subscriptions *Subscriptions
	states        *stateSchedule
	active        *activeConn

	chunk int          // how many streams the next XREAD polls
	polls atomic.Int64 // of all streams, so far
}

// Polling takes a small share of the time: a few keys are polled every few milliseconds, very many
// every second.
const (
	eventsPeriod = 10 * time.Millisecond
	maxChunk     = 500
	// A poll gets one entry, of any size, of each stream with something new. After a poll of more than
	// pollBytes, the next one has fewer streams, but not fewer than minChunk.
	pollBytes = 1 << 20
	minChunk  = 8
	// A poll that took t is followed by a pause of pollShare × t.
	pollShare = 20
	// statePeriod is how often the watched states are read. Each adds stateCost.
	statePeriod = 100 * time.Millisecond
	stateCost   = 200 * time.Microsecond
	// rereadPeriod is how often every watch reads for itself, because XREAD does not show that entries
	// were deleted. Each watched stream adds rereadCost.
	rereadPeriod = 2 * time.Second
	rereadCost   = time.Millisecond
	tasksPeriod  = 25 * time.Millisecond
	// While changes are pushed, workers are woken only for leases that have expired.
	pushedTasksPeriod = 250 * time.Millisecond
	// Each waitlist adds waitlistCost to the period.
	waitlistCost = 500 * time.Microsecond
)

// elapsed is a point in time from which a period is measured.
type elapsed struct{ since time.Time }

// over reports whether more than the period has passed, and if so starts the next one.
func (e *elapsed) over(now time.Time, period time.Duration) bool {
	isOver := now.Sub(e.since) > period
	if isOver {
		e.since = now
	}
	return isOver
}

// PollWatched polls the watched streams and states until ctx ends.
func (p *polling) PollWatched(ctx context.Context) {
	start := time.Now()
	states, rereads, growth := elapsed{start}, elapsed{start}, elapsed{start}
	p.chunk = maxChunk
	for {
		start = time.Now()
		isPushed := p.active.isUp()
		if growth.over(start, growPeriod) {
			p.subscriptions.Grow()
		}
		positions := p.subscriptions.PolledEntries(isPushed)
		if keys := p.subscriptions.PolledValues(isPushed); states.over(start, max(statePeriod, time.Duration(len(keys))*stateCost)) {
			for _, key := range keys {
				p.states.request(key)
			}
		}
		if rereads.over(start, max(rereadPeriod, time.Duration(len(positions))*rereadCost)) {
			if isPushed {
				p.subscriptions.NotifyPolled()
			} else {
				notifyAll(p.subscriptions, p.waiters)
			}
		}
		pause := p.pollStreams(ctx, positions)
		if !conn.Pause(ctx, min(conn.LongPeriod, max(pause, pollShare*time.Since(start)))) {
			return
		}
	}
}

// pollStreams notifies the watches of the streams that have something new. It returns the least pause
// until the next poll.
func (p *polling) pollStreams(ctx context.Context, positions []notify.Position) time.Duration {
	if len(positions) == 0 {
		return 5 * eventsPeriod
	}
	p.polls.Add(1)
	pause := eventsPeriod
	for len(positions) > 0 {
		chunk := positions[:min(p.chunk, len(positions))]
		positions = positions[len(chunk):]
		bytes, err := p.pollChunk(ctx, chunk)
		if p.chunk = min(2*p.chunk, maxChunk); bytes > pollBytes {
			p.chunk = max(minChunk, len(chunk)/4)
		}
		if err != nil && ctx.Err() == nil {
			p.log.Debug("could not poll the watched streams", "error", err)
			pause = conn.LongPeriod / 4
		}
	}
	return pause
}

// pollChunk notifies the watches of those of some streams that have something new. It returns how
// many bytes it got.
func (p *polling) pollChunk(ctx context.Context, positions []notify.Position) (bytes int, err error) {
	streams := make([]string, 2*len(positions))
	for i, at := range positions {
		streams[i], streams[len(positions)+i] = at.Key, at.Entry
	}
	news, err := p.xread(ctx, &goredis.XReadArgs{Streams: streams, Count: 1, Block: -1}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	var reply goredis.Error
	if errors.As(err, &reply) {
		// One key of a wrong type fails the whole command: each watch reads for itself.
		for _, at := range positions {
			p.subscriptions.NotifyKey(at.Key)
		}
	}
	for _, stream := range news {
		for _, m := range stream.Messages {
			for _, value := range m.Values {
				text, _ := value.(string)
				bytes += len(text)
			}
		}
		p.subscriptions.NotifyKey(stream.Stream)
	}
	return bytes, conn.Translate("poll watched streams", err, conn.Repeatable)
}

// PollTasks wakes the first worker of each waitlist from time to time, until ctx ends. The worker takes
// over expired leases and, while changes are not pushed, finds tasks that others have published.
func (p *polling) PollTasks(ctx context.Context) {
	for {
		waitlists, period := p.waiters.NotifyAll(), tasksPeriod
		switch {
		case p.active.isUp():
			period = pushedTasksPeriod
		case waitlists == 0:
			period *= 2
		}
		if !conn.Pause(ctx, min(conn.LongPeriod, max(period, time.Duration(waitlists)*waitlistCost))) {
			return
		}
	}
}
