// Command lives measures a task's whole life, from its publish to its result, by this
// service and by others, in one run on one machine. See docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	rounds   = flag.Int("rounds", 5, "how often each contender runs, one after the other")
	duration = flag.Duration("duration", 2*time.Second, "about how long a contender runs in each round")
	only     = flag.String("only", "", "run contenders with this in their name only")
	profile  = flag.String("profile", "", "write CPU profiles of the server, one for each contender of ours, into this folder")
	commands = flag.Bool("commands", false, "show what Redis's commands took")
	idle     = flag.Int("idle", 300, "how many tasks are published to an idle queue, one at a time")
)

// contender is a way to have tasks worked off.
type contender struct {
	name string
	// lives takes n tasks through their life, and says how long it took.
	lives func(ctx context.Context, n int) (time.Duration, error)
	// idle, if there is one, publishes tasks to an idle queue, one after the other, and
	// returns the times from publish to delivery.
	idle func(ctx context.Context, n int) (*rig.Latencies, error)

	rates  []float64
	costs  [4][]float64 // µs of Redis, the server and the client; allocations
	delays rig.Latencies
}

// bench is what all contenders share.
type bench struct {
	*rig.Rig
	nats *natsServer
}

func main() {
	log.SetFlags(0)
	if len(os.Args) == 3 && os.Args[1] == natsRole {
		serveNATS(os.Args[2])
		return
	}
	flag.Parse()
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context) error {
	r, err := rig.Start(ctx, rig.Options{Config: "http_pprof: true\n"})
	if err != nil {
		return err
	}
	defer r.Close()
	b := &bench{Rig: r}
	if b.nats, err = startNATS(); err != nil {
		return err
	}
	defer b.nats.stop()
	all := slices.Concat(b.raw(), b.argus(), b.others())
	all = slices.DeleteFunc(all, func(c *contender) bool { return !strings.Contains(c.name, *only) })
	for round := range *rounds {
		for _, c := range all {
			if err := b.round(ctx, c, round); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	report(all)
	return nil
}

// round measures one contender. A short run first says how many tasks fill the duration.
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

// profile profiles the server in the first round, if asked to, until the returned channel is
// closed.
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

// used is the processor time in µs that Redis, the server and this process have used, and
// how often the server and this process have allocated memory.
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

func report(all []*contender) {
	table := rig.NewTable("whole lives", "per second", "from – to", "µs of Redis", "of the server", "of the client", "allocations")
	table.Quiet = true
	for _, c := range all {
		if c.rates == nil {
			continue
		}
		cells := []string{c.name, fmt.Sprintf("%.0f", rig.Median(c.rates)), fmt.Sprintf("%.0f – %.0f", slices.Min(c.rates), slices.Max(c.rates))}
		for _, cost := range c.costs {
			cells = append(cells, fmt.Sprintf("%.1f", rig.Median(cost)))
		}
		table.Row(cells...)
	}
	table.Print(os.Stdout)
	fmt.Println()
	table = rig.NewTable("publish to delivery, idle queue", "p50 ms", "p99 ms", "max ms")
	table.Quiet = true
	for _, c := range all {
		if c.idle != nil {
			table.Row(append([]string{c.name}, c.delays.Row()...)...)
		}
	}
	table.Print(os.Stdout)
	fmt.Println()
	ratios(all)
}

// ratios prints what the aims are about, for those contenders that ran.
func ratios(all []*contender) {
	find := func(name string) *contender {
		i := slices.IndexFunc(all, func(c *contender) bool { return c.name == name })
		if i < 0 {
			return &contender{}
		}
		return all[i]
	}
	table := rig.NewTable("ratio", "aim", "got")
	table.Quiet = true
	row := func(what, aim string, a, b float64) {
		if a > 0 && b > 0 {
			table.Row(what, aim, fmt.Sprintf("%.2f", a/b))
		}
	}
	rate := func(name string) float64 { return rig.Median(find(name).rates) }
	p99 := func(name string) float64 { return find(name).delays.Quantile(0.99).Seconds() }
	row("batched lives / asynq", "≥ 10", rate(argusBatched), rate(asynqName))
	row("batched lives / go-redis pipelines", "≥ 1.2", rate(argusBatched), rate(goredisName))
	row("batched lives / hand-written RESP", "≥ 0.9", rate(argusBatched), rate(respName))
	row("batched lives / JetStream, async", "≥ 1.2", rate(argusBatched), rate(natsAsync))
	row("unary Publish, streaming workers / asynq", "≥ 5", rate(argusMixed), rate(asynqName))
	row("all unary / asynq", "≥ 1.5", rate(argusUnary), rate(asynqName))
	row("idle p99 / raw XREADGROUP BLOCK", "≤ 2.5", p99(argusMixed), p99(respName))
	row("idle p99 / JetStream", "≤ 1.7", p99(argusMixed), p99(natsAsync))
	row("Redis's time, batched / plain commands", "≤ 1.1", rig.Median(find(argusBatched).costs[0]), rig.Median(find(respName).costs[0]))
	table.Print(os.Stdout)
}
