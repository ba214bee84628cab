// Package load has the load generator: argus bench.
package load

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// Command is the command bench.
func Command(p *shell.Process) *cobra.Command {
	group := shell.Group("bench", "Measure a server: publish, consume, both end to end, or watch",
		"  argus bench e2e --rate 1000 --duration 10s",
		benchmark{"publish", "Publish tasks: the time is that of a call",
			"  argus bench publish --clients 64 --duration 5s\n  argus bench publish --batch 100 --csv\n  argus queue purge argus_bench --yes", publish}.command(p),
		benchmark{"consume", "Work off the queue on streams: the time is from a frame with results to its answer",
			"  argus bench publish --batch 100 && argus bench consume --workers 4", consume}.command(p),
		benchmark{"e2e", "Publish and work off: the time is from before the publish to the delivery",
			"  argus bench e2e --rate 500\n  argus bench e2e --clients 4 --batch 64", endToEnd}.command(p),
		benchmark{"watch", "Watch jobs, one stream each: the time is from before an event is published to its frame",
			"  argus bench watch --clients 1000 --rate 1000", watch}.command(p),
	)
	group.Long = `Measure a server. The load is real: the tasks go into queues of their own, argus_bench and
argus_bench_e2e, unless --queue names another, and jobs get their results. The times are those
that this client sees, so run it where your clients run.`
	return group
}

// benchmark is one kind of load.
type benchmark struct {
	name, short, example string
	// run makes the load until ctx ends or the duration is over, and measures it.
	run func(ctx context.Context, r *run) error
}

func (b benchmark) command(p *shell.Process) *cobra.Command {
	var f flags
	help := &cobra.Command{Use: b.name, Short: b.short, Example: b.example, Args: shell.NoArgs}
	return client.Command{Help: help, Flags: func(set *pflag.FlagSet) { f.declare(set, b.name) },
		Run: func(ctx context.Context, c *client.Client, _ []string) error {
			if err := f.check(help.Flags(), b.name); err != nil {
				return err
			}
			r := &run{flags: f, Client: c}
			defer r.close()
			if err := r.connect(); err != nil {
				return err
			}
			if err := b.run(ctx, r); err != nil {
				return err
			}
			return r.report(b.name)
		}}.Cobra(p)
}

// flags describe the load of a benchmark.
type flags struct {
	queue                                                            string
	clients, connections, batch, rate, size, workers, maxOutstanding int
	duration                                                         time.Duration
	csv                                                              bool
}

// declare declares the flags that a benchmark has.
func (f *flags) declare(set *pflag.FlagSet, name string) {
	set.IntVar(&f.clients, "clients", 16, "number of concurrent callers or watchers")
	set.IntVar(&f.connections, "connections", 4, "number of connections that they share")
	set.DurationVar(&f.duration, "duration", 5*time.Second, "how long to measure")
	set.BoolVar(&f.csv, "csv", false, "print the figures as CSV, with a head")
	if name != "consume" {
		set.IntVar(&f.rate, "rate", map[string]int{"watch": 1000}[name], "tasks or events per second; 0 means no limit")
	}
	if name != "watch" {
		set.StringVar(&f.queue, "queue", defaultQueue(name), "queue")
	}
	if name == "publish" || name == "e2e" {
		set.IntVar(&f.batch, "batch", 1, "number of tasks that a call publishes")
		set.IntVar(&f.size, "size", 200, "size of a task's attribute in bytes")
	}
	if name == "consume" || name == "e2e" {
		set.IntVar(&f.workers, "workers", 4, "number of streams that work")
		set.IntVar(&f.maxOutstanding, "max-outstanding", 256, "maximum number of unsettled tasks of a stream")
	}
}

// defaultQueue keeps e2e apart from the tasks that publish leaves behind.
func defaultQueue(name string) string {
	if name == "e2e" {
		return "argus_bench_e2e"
	}
	return "argus_bench"
}

// check checks the flags that a benchmark has.
func (f *flags) check(set *pflag.FlagSet, name string) error {
	if name == "watch" && f.rate < 1 {
		return shell.Usagef("--rate: must be at least 1")
	}
	for flag, ok := range map[string]bool{
		"clients": f.clients >= 1 && f.clients <= 100000, "connections": f.connections >= 1 && f.connections <= 1000,
		"duration": f.duration > 0, "rate": f.rate >= 0, "batch": f.batch >= 1 && f.batch <= 1000,
		"size": f.size >= 0 && f.size <= 1<<20, "workers": f.workers >= 1, "max-outstanding": f.maxOutstanding >= 1 && f.maxOutstanding <= 1000,
	} {
		if !ok && set.Lookup(flag) != nil {
			return shell.Usagef("--%s: out of bounds (clients 1 to 100000, connections 1 to 1000, batch and max-outstanding 1 to 1000, size 0 to 1 MiB, the others more than 0)", flag)
		}
	}
	return nil
}
