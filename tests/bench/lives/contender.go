package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// contender is a way to process tasks.
type contender struct {
	name string
	// lives publishes, works on and completes n tasks, and returns the time that took.
	lives func(ctx context.Context, n int) (time.Duration, error)
	// idle publishes n tasks to an idle queue, one after the other, and returns the times
	// from publish to delivery; nil for contenders that are not measured that way.
	idle func(ctx context.Context, n int) (*rig.Latencies, error)

	rates  []float64
	costs  [4][]float64 // per task and round: µs of Redis, the server and the client; allocations
	delays rig.Latencies
}

// round measures one contender. A short trial determines how many tasks fill the duration.
func (b *bench) round(ctx context.Context, c *contender, round int) error {
	if c.lives != nil {
		const trial = 2000
		b.Raw.FlushAll(ctx)
		took, err := c.lives(ctx, trial)
		if err != nil {
			return err
		}
		n := max(trial, int(trial*duration.Seconds()/took.Seconds()))
		b.Raw.FlushAll(ctx)
		runtime.GC()
		b.Raw.ConfigResetStat(ctx)
		profiled := b.profile(c, round)
		before := b.used(c)
		if took, err = c.lives(ctx, n); err != nil {
			return err
		}
		c.rates = append(c.rates, float64(n)/took.Seconds())
		for i, after := range b.used(c) {
			c.costs[i] = append(c.costs[i], (after-before[i])/float64(n))
		}
		<-profiled
		if *commands {
			fmt.Fprintln(os.Stderr, b.Raw.Info(ctx, "commandstats").Val())
		}
		fmt.Fprintf(os.Stderr, "%d  %-42s %8.0f/s\n", round+1, c.name, c.rates[round])
	}
	if c.idle != nil {
		b.Raw.FlushAll(ctx)
		delays, err := c.idle(ctx, *idle)
		if err != nil {
			return err
		}
		c.delays.Merge(delays)
	}
	return nil
}

// profile profiles the Argus server in the first round, if the -profile flag is set. The
// returned channel is closed at its end.
func (b *bench) profile(c *contender, round int) <-chan struct{} {
	done := make(chan struct{})
	if *profile == "" || round > 0 || !strings.HasPrefix(c.name, "Argus") {
		close(done)
		return done
	}
	go func() {
		defer close(done)
		name := strings.NewReplacer(" ", "-", ",", "").Replace(c.name) + ".pprof"
		if err := b.Profile(filepath.Join(*profile, name), max(1, int(duration.Seconds()))); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	return done
}

// used is the processor time in µs that Redis, the server and this process have used, and the
// number of heap objects that the server and this process have allocated.
func (b *bench) used(c *contender) [4]float64 {
	redis, server := b.CPU()
	if strings.HasPrefix(c.name, "JetStream") {
		server += b.nats.cpu()
	}
	var own syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &own)
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return [4]float64{float64(redis.Microseconds()), float64(server.Microseconds()),
		float64(time.Duration(own.Utime.Nano() + own.Stime.Nano()).Microseconds()), float64(memory.Mallocs) + b.Mallocs()}
}
