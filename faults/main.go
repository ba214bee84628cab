// Command faults breaks things under load and checks that what is promised holds: real
// servers, real Redis processes, producers, workers and watchers in processes of their own,
// whose recorded histories are checked against what the store holds. See docs/reliability.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/hikmaai-io/argus-queue/faults/history"
)

// scenario is a way to break things.
type scenario struct {
	name  string
	fsync string
	// inject breaks something once, and mends it.
	inject func(w *world) error
}

var ctx = context.Background()

func pause(w *world, least, most time.Duration) {
	time.Sleep(least + time.Duration(w.random.Int64N(int64(most-least))))
}

var scenarios = []scenario{
	{"nothing", "everysec", func(*world) error { return nil }},
	{"a server is killed and started again", "everysec", func(w *world) error {
		s := w.servers[w.random.IntN(len(w.servers))]
		s.kill()
		pause(w, 50*time.Millisecond, 500*time.Millisecond)
		return s.start()
	}},
	{"rolling restart", "everysec", func(w *world) error {
		for _, s := range w.servers {
			s.stop()
			if err := s.start(); err != nil {
				return err
			}
			if err := until(10*time.Second, func() bool { return s.metric("go_goroutines") > 0 }); err != nil {
				return err
			}
		}
		return nil
	}},
	{"Redis is killed, appendfsync always", "always", restartRedis},
	{"Redis is killed, appendfsync everysec", "everysec", restartRedis},
	{"connections to Redis break", "everysec", func(w *world) error { w.proxy.reset(); return nil }},
	{"answers of Redis are lost", "everysec", func(w *world) error {
		w.proxy.cut.Store(true)
		pause(w, 10*time.Millisecond, 200*time.Millisecond)
		w.proxy.cut.Store(false)
		return nil
	}},
	{"Redis is a black hole for a second, then slow", "everysec", func(w *world) error {
		w.proxy.hole.Store(true)
		time.Sleep(time.Second)
		w.proxy.hole.Store(false)
		w.proxy.latency.Store(int64(50 * time.Millisecond))
		time.Sleep(500 * time.Millisecond)
		w.proxy.latency.Store(0)
		return nil
	}},
	{"a worker is killed", "everysec", func(w *world) error {
		worker := w.workers[w.random.IntN(len(w.workers))]
		worker.kill()
		return worker.start()
	}},
	{"a worker stands still for longer than its leases", "everysec", func(w *world) error {
		worker := w.workers[w.random.IntN(len(w.workers))]
		worker.signal(syscall.SIGSTOP)
		time.Sleep(leaseTime + leaseTime/2)
		worker.signal(syscall.SIGCONT)
		return nil
	}},
	{"Redis forgets the scripts", "everysec", func(w *world) error { return w.raw.ScriptFlush(ctx).Err() }},
	{"the consumer group is destroyed", "everysec", func(w *world) error {
		return w.raw.XGroupDestroy(ctx, prefix+"argus_task_queue", "argus-workers").Err()
	}},
}

func restartRedis(w *world) error {
	w.redis.kill()
	pause(w, 50*time.Millisecond, 500*time.Millisecond)
	if err := w.redis.start(); err != nil {
		return err
	}
	return w.redisUp()
}

func main() {
	log.SetFlags(0)
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		runRole(os.Args[1], os.Args[2:])
		return
	}
	seed := flag.Uint64("seed", uint64(time.Now().UnixNano()), "seed of what is random")
	duration := flag.Duration("duration", 6*time.Second, "how long each fault is injected, again and again")
	only := flag.String("only", "", "run the scenarios with this in their name")
	mutated := flag.Bool("mutations", false, "break the product in ways that the suite must find, and see whether it does")
	binary := flag.String("argus", "", "the server to test; default: this module's")
	flag.Parse()
	fmt.Printf("seed %d\n", *seed)
	if *mutated {
		os.Exit(min(1, mutate(*seed, *duration)))
	}
	argus := *binary
	if argus == "" {
		dir, err := os.MkdirTemp("", "argus-faults-")
		if err != nil {
			log.Fatal(err)
		}
		defer os.RemoveAll(dir)
		argus = filepath.Join(dir, "argus")
		if out, err := exec.Command("go", "build", "-o", argus, "github.com/hikmaai-io/argus-queue/cmd/argus").CombinedOutput(); err != nil {
			log.Fatalf("%v\n%s", err, out)
		}
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "fault\ttimes\tpublished\tdelivered\tresults\tstale refused\twatched\tlongest pause s\tviolations")
	failed := false
	for i, s := range scenarios {
		if !strings.Contains(s.name, *only) {
			continue
		}
		row, violations, err := run(s, argus, *seed+uint64(i), *duration)
		if err != nil {
			log.Printf("%s: %v", s.name, err)
			failed = true
		}
		for _, v := range violations {
			log.Printf("%s: %s", s.name, v)
			failed = true
		}
		fmt.Fprintln(table, row)
		log.Println(strings.ReplaceAll(row, "\t", "  "))
	}
	_ = table.Flush()
	if failed {
		os.Exit(1)
	}
}

// run injects one fault under load, and checks what became of it.
func run(s scenario, argus string, seed uint64, duration time.Duration) (row string, violations []history.Violation, err error) {
	w, err := newWorld(argus, s.fsync, seed)
	if err != nil {
		return s.name, nil, err
	}
	defer w.end()
	base := w.servers[0].metric("go_goroutines")
	times := 0
	time.Sleep(time.Second)
	for end := time.Now().Add(duration); time.Now().Before(end); times++ {
		if err := s.inject(w); err != nil {
			return s.name, nil, err
		}
		pause(w, 100*time.Millisecond, time.Second)
	}
	drained := w.drain()
	events, err := history.Read(filepath.Join(w.dir, "history"))
	if err != nil {
		return s.name, nil, err
	}
	stored, err := w.stored()
	if err != nil {
		return s.name, nil, err
	}
	report := history.Check(events, stored, canary)
	if drained != nil {
		report.Violations = append(report.Violations, history.Violation{Invariant: "I1", What: fmt.Sprint("the queue is not empty: ", drained)})
	}
	for _, server := range w.servers {
		if err := until(15*time.Second, func() bool { n := server.metric("go_goroutines"); return n > 0 && n < base+30 }); err != nil {
			report.Violations = append(report.Violations, history.Violation{Invariant: "I7",
				What: fmt.Sprintf("a server has %.0f goroutines, at first it had %.0f", server.metric("go_goroutines"), base)})
		}
	}
	return fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%.1f\t%d", s.name, times, report.Published, report.Delivered, report.Completed, report.Lost, report.Watched,
		longestPause(events).Seconds(), len(report.Violations)), report.Violations, nil
}

// longestPause is the longest time in which no result was recorded.
func longestPause(events []history.Event) time.Duration {
	var last time.Time
	longest := time.Duration(0)
	for _, e := range events {
		if e.Kind != history.Complete || e.Outcome != history.OK {
			continue
		}
		if !last.IsZero() {
			longest = max(longest, e.At.Sub(last))
		}
		last = e.At
	}
	return longest
}
