package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/hikmaai-io/argus-queue/server/codec"
)

// benchFlags say what load a benchmark makes.
type benchFlags struct {
	onQueue                                                          string
	clients, connections, batch, rate, size, workers, maxOutstanding int
	duration                                                         time.Duration
	csv                                                              bool
}

// benchAttribute carries when a task was published, in ns, for the process that measures.
const benchAttribute = "bench_at"

func (p *program) bench() *cobra.Command {
	bench := &cobra.Command{
		Use:   "bench",
		Short: "Measure a server: publish, consume, both end to end, or watch",
		Long: `Measure a server. The load is real: the tasks go into queues of their own, argus_bench and
argus_bench_e2e, unless another is named, and jobs get their results. Times are those that this client sees, so
run it where your clients run.`,
		Example: "  argus bench e2e --rate 1000 --duration 10s",
		RunE:    needsCommand,
	}
	bench.AddCommand(
		p.benchmark("publish", "Publish tasks: the time is that of a call",
			"  argus bench publish --clients 64 --duration 5s\n  argus bench publish --batch 100 --csv\n  argus queue purge argus_bench --yes", publishLoad),
		p.benchmark("consume", "Work off the queue on streams: the time is from a frame with results to its answer",
			"  argus bench publish --batch 100 && argus bench consume --workers 4", consumeLoad),
		p.benchmark("e2e", "Publish and work off: the time is from before the publish to the delivery",
			"  argus bench e2e --rate 500\n  argus bench e2e --clients 4 --batch 64", e2eLoad),
		p.benchmark("watch", "Watch jobs, one stream each: the time is from before an event is published to its frame",
			"  argus bench watch --clients 1000 --rate 1000", watchLoad),
	)
	return bench
}

// makeLoad makes a load until ctx ends, and measures it.
type makeLoad func(ctx context.Context, b *benchRun) error

func (p *program) benchmark(name, short, example string, run makeLoad) *cobra.Command {
	var f benchFlags
	command, c := p.command(&cobra.Command{Use: name, Short: short, Example: example, Args: noArgs},
		func(ctx context.Context, c *client, _ []string) error {
			b := &benchRun{benchFlags: f, client: c}
			if err := b.check(name); err != nil {
				return err
			}
			if err := b.connect(); err != nil {
				return err
			}
			defer b.close()
			if err := run(ctx, b); err != nil {
				return err
			}
			return b.report(name)
		})
	flags := command.Flags()
	flags.IntVar(&f.clients, "clients", 16, "how many make calls, or watch, at a time")
	flags.IntVar(&f.connections, "connections", 4, "how many connections they share")
	flags.DurationVar(&f.duration, "duration", 5*time.Second, "how long to measure")
	flags.BoolVar(&f.csv, "csv", false, "print the figures as CSV, with a head")
	if name != "consume" {
		flags.IntVar(&f.rate, "rate", map[string]int{"watch": 1000}[name], "how many tasks or events a second; 0 means as many as it takes")
	}
	if name != "watch" {
		// What publish leaves behind is not in the way of e2e.
		queue := "argus_bench"
		if name == "e2e" {
			queue += "_e2e"
		}
		flags.StringVar(&f.onQueue, "queue", queue, "queue")
	}
	if name == "publish" || name == "e2e" {
		flags.IntVar(&f.batch, "batch", 1, "how many tasks a call publishes")
		flags.IntVar(&f.size, "size", 200, "how large a task's attribute is, in bytes")
	}
	if name == "consume" || name == "e2e" {
		flags.IntVar(&f.workers, "workers", 4, "how many streams work")
		flags.IntVar(&f.maxOutstanding, "max-outstanding", 256, "how many tasks a stream may have that are not settled")
	}
	c.connection()
	return command
}

// benchRun is one run of a benchmark.
type benchRun struct {
	benchFlags
	*client
	connected []*grpc.ClientConn

	mu     sync.Mutex
	meters []*meter
	took   time.Duration
	notes  []string
}

// meter is what one client counts.
type meter struct {
	mu    sync.Mutex
	done  int
	times []time.Duration
}

func (m *meter) add(n int, times ...time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.times = append(m.times, times...)
}

func (b *benchRun) meter() *meter {
	b.mu.Lock()
	defer b.mu.Unlock()
	m := &meter{}
	b.meters = append(b.meters, m)
	return m
}

func (b *benchRun) check(name string) error {
	if name == "watch" && b.rate < 1 {
		return usageError(errors.New("--rate: must be at least 1"))
	}
	for flag, ok := range map[string]bool{
		"clients": b.clients >= 1 && b.clients <= 100000, "connections": b.connections >= 1 && b.connections <= 1000,
		"duration": b.duration > 0, "rate": b.rate >= 0, "batch": b.batch >= 1 && b.batch <= 1000,
		"size": b.size >= 0 && b.size <= 1<<20, "workers": b.workers >= 1, "max-outstanding": b.maxOutstanding >= 1 && b.maxOutstanding <= 1000,
	} {
		if !ok && b.flags.Lookup(flag) != nil {
			return usageError(fmt.Errorf("--%s: out of bounds (clients 1 to 100000, connections 1 to 1000, batch and max-outstanding 1 to 1000, size 0 to 1 MiB, the others more than 0)", flag))
		}
	}
	return nil
}

func (b *benchRun) connect() error {
	for range b.connections {
		conn, err := b.dial(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
		if err != nil {
			return err
		}
		b.connected = append(b.connected, conn)
	}
	return nil
}

func (b *benchRun) close() {
	for _, conn := range b.connected {
		_ = conn.Close()
	}
}

func (b *benchRun) conn(n int) *grpc.ClientConn { return b.connected[n%len(b.connected)] }

// paced calls do for each client again and again, at the rate, until the duration is over.
// do gets how many tasks the call is to do.
func (b *benchRun) paced(ctx context.Context, do func(ctx context.Context, client int) (int, error)) error {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(b.duration))
	defer cancel()
	var all errgroup.Group
	for i := range b.clients {
		all.Go(func() error {
			next := start
			if b.rate > 0 { // spread evenly
				next = next.Add(time.Second * time.Duration(i) / time.Duration(b.rate))
			}
			for {
				if wait := time.Until(next); b.rate > 0 && wait > 0 && !pause(ctx, wait) {
					return nil
				}
				if time.Since(start) >= b.duration || ctx.Err() != nil {
					return nil
				}
				n, err := do(context.WithoutCancel(ctx), i)
				if err != nil {
					return err
				}
				if b.rate > 0 {
					next = next.Add(time.Second * time.Duration(n*b.clients) / time.Duration(b.rate))
				}
			}
		})
	}
	err := all.Wait()
	b.took = time.Since(start)
	return err
}

// figures are what a benchmark found.
type figures struct {
	Benchmark string  `json:"benchmark"`
	Clients   int     `json:"clients"`
	Seconds   float64 `json:"seconds"`
	Count     int     `json:"count"`
	PerSecond float64 `json:"perSecond"`
	P50       float64 `json:"p50Ms"`
	P90       float64 `json:"p90Ms"`
	P99       float64 `json:"p99Ms"`
	Max       float64 `json:"maxMs"`
	// What single clients did, per second.
	ClientMin    float64 `json:"clientMinPerSecond"`
	ClientMedian float64 `json:"clientMedianPerSecond"`
	ClientMax    float64 `json:"clientMaxPerSecond"`
}

func (b *benchRun) figures(name string) figures {
	f := figures{Benchmark: name, Clients: len(b.meters), Seconds: b.took.Seconds()}
	var times []time.Duration
	var each []float64
	for _, m := range b.meters {
		m.mu.Lock()
		f.Count += m.done
		times = append(times, m.times...)
		each = append(each, float64(m.done)/f.Seconds)
		m.mu.Unlock()
	}
	f.PerSecond = float64(f.Count) / f.Seconds
	slices.Sort(times)
	slices.Sort(each)
	at := func(q float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return float64(times[int(q*float64(len(times)-1))].Microseconds()) / 1000
	}
	f.P50, f.P90, f.P99, f.Max = at(0.5), at(0.9), at(0.99), at(1)
	f.ClientMin, f.ClientMedian, f.ClientMax = each[0], each[len(each)/2], each[len(each)-1]
	return f
}

func (b *benchRun) report(name string) error {
	f := b.figures(name)
	switch {
	case b.csv:
		_, err := fmt.Fprintf(b.stdout, "benchmark,clients,seconds,count,per_second,p50_ms,p90_ms,p99_ms,max_ms,client_min_per_second,client_median_per_second,client_max_per_second\n%s,%d,%.3f,%d,%.1f,%.3f,%.3f,%.3f,%.3f,%.1f,%.1f,%.1f\n",
			f.Benchmark, f.Clients, f.Seconds, f.Count, f.PerSecond, f.P50, f.P90, f.P99, f.Max, f.ClientMin, f.ClientMedian, f.ClientMax)
		return err
	case b.Output != "table":
		text, err := json.Marshal(f)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(b.stdout, string(text))
		return err
	}
	ms := func(n float64) string { return fmt.Sprintf("%.2f", n) }
	err := b.table([]string{"BENCHMARK", "COUNT", "PER SECOND", "P50 MS", "P90 MS", "P99 MS", "MAX MS", "EACH CLIENT PER SECOND"},
		[]string{name, fmt.Sprint(f.Count), fmt.Sprintf("%.0f", f.PerSecond), ms(f.P50), ms(f.P90), ms(f.P99), ms(f.Max),
			fmt.Sprintf("%.0f – %.0f – %.0f", f.ClientMin, f.ClientMedian, f.ClientMax)})
	for _, note := range b.notes {
		if _, printErr := fmt.Fprintln(b.stdout, note); err == nil {
			err = printErr
		}
	}
	return err
}
