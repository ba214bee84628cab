package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// The broker rings its own bell for what it writes itself. What others write, raw peers
// and other servers, Redis rings for (tracker.go). Where it doesn't, it is found by sweeping
// what is waited for, as often as a small share of time allows: every few milliseconds for a
// few keys, every second for very many.
const (
	sweepPeriod = 10 * time.Millisecond
	sweepChunk  = 500
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
	pollCost   = 500 * time.Microsecond
	longPeriod = time.Second
	// untrackedPeriod is how long a Redis that doesn't track keys is left alone.
	untrackedPeriod = time.Minute
)

// keepTracking has Redis ring the bell, from the first time that someone waits. After
// each connection it wakes everyone: rings may have been missed, and what is not read
// anew is not rung for.
func (b *Broker) keepTracking(ctx context.Context) {
	select {
	case <-b.waiters.Used():
	case <-b.subscriptions.Used():
	case <-ctx.Done():
		return
	}
	told := ""
	tell := func(mode string, args ...any) {
		if told != mode {
			b.log.Info(mode, args...)
		}
		told = mode
	}
	for {
		t, err := b.client.track(ctx)
		period := retryPeriod
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, errUntracked):
			tell("what others write is found by sweeping: Redis does not track keys", "reason", err)
			period = untrackedPeriod
		case err != nil:
			b.log.Debug("could not have Redis track keys", "error", err)
		default:
			tell("what others write is rung for by Redis")
			b.trackers.Add(1)
			b.tracker.Store(t)
			b.subscriptions.SetPushed(true)
			b.notifyAll()
			alive, end := context.WithCancel(ctx)
			var check sync.WaitGroup
			check.Go(func() { b.client.keepToOwner(alive, t) })
			err := t.run(ctx, func(keys []string) { b.changed(t, keys) })
			end()
			b.tracker.Store(nil)
			b.subscriptions.SetPushed(false)
			t.fail(err)
			b.notifyAll()
			check.Wait()
			b.log.Debug("the tracker ended", "error", err)
		}
		if !pause(ctx, period) {
			return
		}
	}
}

// sharedAnswer is how large an answer may be that waits at those who listen. A larger one is
// read again when they come to it.
const sharedAnswer = 64 << 10

// notifyAll wakes every watch, and the first waiter of every waitlist: changes may have been missed.
func (b *Broker) notifyAll() {
	b.subscriptions.NotifyAll()
	b.waiters.Reset()
}

// changedReads are the reads that changed keys need: of a stream that is watched the entries that
// a watch of it does not know, of a task stream that has waiters the last entry. States are read in
// their own way.
func (b *Broker) changedReads(keys []string) (reads []keyRead, states []string) {
	for _, key := range keys {
		switch change := b.subscriptions.Changed(key); {
		case !change.HasSubscriptions:
		case change.IsValue:
			states = append(states, key)
		default:
			reads = append(reads, keyRead{key: key, from: change.Position, count: firstEvents})
		}
		if b.waiters.Has(key) {
			reads = append(reads, keyRead{key: key, from: newest, count: 1})
		}
	}
	return reads, states
}

// changed reads what Redis told has changed, nil for everything, and rings when it was read:
// with events for those who watch them, for workers if there is a new task. States are read
// a little later, if they were read just now.
func (b *Broker) changed(t *tracker, keys []string) {
	if keys == nil {
		b.notifyAll()
		return
	}
	b.rings.Add(int64(len(keys)))
	reads, states := b.changedReads(keys)
	for _, key := range states {
		b.watched.rung(key)
	}
	if len(reads) == 0 {
		return
	}
	b.reads.read.Add(int64(len(reads)))
	b.reads.pipelines.Add(1)
	var out []byte
	questions := make([]question, len(reads))
	for i, r := range reads {
		out = appendCommand(out, r.words())
		questions[i] = func(raw string) {
			switch {
			case raw == "": // everything will be rung for
			case r.from == newest:
				b.rungTasks(r, raw)
			case len(raw) > sharedAnswer:
				b.heard(false)
				b.subscriptions.NotifyKey(r.key)
			default:
				b.heard(r.isOld(raw))
				b.subscriptions.Deliver(r.key, &update{keyRead: r, raw: raw, at: b.reads.answers.Add(1)})
			}
		}
	}
	t.ask(out, questions)
}

// rungTasks wakes a worker for the newest entry of a task stream, if nobody was yet. Most
// rings are for entries that were deleted.
func (b *Broker) rungTasks(r keyRead, raw string) {
	reply := r.reply(raw)
	switch {
	case reply.err != nil: // let it be read again, with all that may be necessary
		b.waiters.Disarm(r.key)
	case len(reply.entries) > 0:
		b.waiters.NotifyNew(r.key, reply.entries[0].id, 1)
	}
}

// armTasks has Redis ring for the task streams that workers begin to wait for. Reading a group
// does not ask for a ring, so the stream's last entry is looked at; when it is newer than what
// was rung for, there is work.
func (b *Broker) armTasks(ctx context.Context) {
	for {
		select {
		case <-b.waiters.Arm():
		case <-ctx.Done():
			return
		}
		if b.tracker.Load() == nil {
			continue // everything is disarmed when there is one
		}
		keys := b.waiters.Unarmed()
		reads := make([]keyRead, len(keys))
		for i, key := range keys {
			reads[i] = keyRead{key: key, from: newest, count: 1}
		}
		replies, err := b.readKeys(ctx, reads)
		if err != nil {
			return
		}
		for i, key := range keys {
			if entries := replies[i].entries; len(entries) > 0 {
				b.waiters.NotifyNew(key, entries[0].id, 1)
			}
			if replies[i].err != nil { // let someone see what is wrong
				b.waiters.NotifyEach(key, 1)
			}
		}
	}
}

// sweepCompletions rings for completion streams that have something new, and now and then
// has all states read, while Redis does not ring; and for those that it can't ring for.
func (b *Broker) sweepCompletions(ctx context.Context) {
	states, look, grown := time.Now(), time.Now(), time.Now()
	n := sweepChunk // how many streams one call sweeps
	for {
		isTracking := b.tracker.Load() != nil
		start, period := time.Now(), sweepPeriod
		if start.Sub(grown) > growPeriod {
			b.subscriptions.Grow()
			grown = start
		}
		positions := b.subscriptions.PolledEntries(isTracking)
		if len(positions) == 0 {
			period *= 5
		}
		if polled := b.subscriptions.PolledValues(isTracking); start.Sub(states) > max(statePeriod, time.Duration(len(polled))*stateCost) {
			for _, key := range polled {
				b.watched.want(key)
			}
			states = start
		}
		if start.Sub(look) > max(lookPeriod, time.Duration(len(positions))*lookCost) {
			if isTracking {
				b.subscriptions.NotifyPolled()
			} else {
				b.notifyAll()
			}
			look = start
		}
		if len(positions) > 0 {
			b.sweeps.Add(1)
		}
		for len(positions) > 0 {
			chunk := positions[:min(n, len(positions))]
			positions = positions[len(chunk):]
			bytes, err := b.sweep(ctx, chunk)
			if n = min(2*n, sweepChunk); bytes > sweepBytes {
				n = max(leastSwept, len(chunk)/4)
			}
			if err != nil && ctx.Err() == nil {
				b.log.Debug("sweep of completions failed", "error", err)
				period = longPeriod / 4
			}
		}
		if !pause(ctx, min(longPeriod, max(period, sweepShare*time.Since(start)))) {
			return
		}
	}
}

// sweep rings for those of some streams that have something new, and says how many bytes it
// got to see that.
func (b *Broker) sweep(ctx context.Context, positions []notify.Position) (bytes int, err error) {
	streams := make([]string, 2*len(positions))
	for i, p := range positions {
		streams[i], streams[len(positions)+i] = p.Key, p.Entry
	}
	news, err := b.client.commands.XRead(ctx, &goredis.XReadArgs{Streams: streams, Count: 1, Block: -1}).Result()
	if errors.Is(err, goredis.Nil) {
		return 0, nil
	}
	var reply goredis.Error
	if errors.As(err, &reply) {
		// One key of a wrong type hides the others: let everyone look for himself.
		for _, p := range positions {
			b.subscriptions.NotifyKey(p.Key)
		}
	}
	for _, stream := range news {
		for _, m := range stream.Messages {
			for _, value := range m.Values {
				text, _ := value.(string)
				bytes += len(text)
			}
		}
		b.subscriptions.NotifyKey(stream.Stream)
	}
	return bytes, translate("sweep", err, repeatable)
}

// pollTasks wakes the first worker of each line now and then: he looks for leases that ran
// out, and, while Redis does not ring, for tasks that others published.
func (b *Broker) pollTasks(ctx context.Context) {
	for {
		lines, period := b.waiters.NotifyAll(), pollPeriod
		switch {
		case b.tracker.Load() != nil:
			period = trackedPollPeriod
		case lines == 0:
			period *= 2
		}
		if !pause(ctx, min(longPeriod, max(period, time.Duration(lines)*pollCost))) {
			return
		}
	}
}
