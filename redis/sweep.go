package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The broker rings its own bell for what it writes itself. What others write, raw
// peers and other servers, is found by sweeping what is waited for, as often as a
// small share of time allows: every few milliseconds for a few keys, every second for
// very many.
const (
	sweepPeriod = 10 * time.Millisecond
	sweepChunk  = 500
	// A sweep that took t is followed by a pause of sweepShare × t.
	sweepShare = 20
	pollPeriod = 25 * time.Millisecond
	// Each task line adds this much to the period.
	pollCost   = 500 * time.Microsecond
	longPeriod = time.Second
)

// sweepCompletions rings for completion streams that have something new.
func (b *Broker) sweepCompletions(ctx context.Context) {
	for {
		positions := b.bell.positions()
		if len(positions) == 0 {
			select {
			case <-b.bell.busy:
				continue
			case <-ctx.Done():
				return
			}
		}
		start := time.Now()
		period := sweepPeriod
		for len(positions) > 0 {
			chunk := positions[:min(sweepChunk, len(positions))]
			positions = positions[len(chunk):]
			if err := b.sweep(ctx, chunk); err != nil && ctx.Err() == nil {
				b.log.Debug("sweep of completions failed", "error", err)
				period = longPeriod / 4
			}
		}
		if !pause(ctx, min(longPeriod, max(period, sweepShare*time.Since(start)))) {
			return
		}
	}
}

func (b *Broker) sweep(ctx context.Context, positions []position) error {
	streams := make([]string, 2*len(positions))
	for i, p := range positions {
		streams[i], streams[len(positions)+i] = p.key, p.seen
	}
	news, err := b.client.commands.XRead(ctx, &goredis.XReadArgs{Streams: streams, Count: 1, Block: -1}).Result()
	if errors.Is(err, goredis.Nil) {
		return nil
	}
	var reply goredis.Error
	if errors.As(err, &reply) {
		// One key of a wrong type hides the others: let everyone look for himself.
		for _, p := range positions {
			b.bell.ringAll(p.key)
		}
		return translate("sweep", err, repeatable)
	}
	if err != nil {
		return translate("sweep", err, repeatable)
	}
	for _, stream := range news {
		b.bell.ringAll(stream.Stream)
	}
	return nil
}

// pollTasks wakes the first worker of each line now and then: he looks for tasks that
// others published and for leases that ran out.
func (b *Broker) pollTasks(ctx context.Context) {
	for {
		lines := b.bell.ringTasks()
		period := pollPeriod
		if lines == 0 {
			period *= 2
		}
		if !pause(ctx, min(longPeriod, max(period, time.Duration(lines)*pollCost))) {
			return
		}
	}
}
