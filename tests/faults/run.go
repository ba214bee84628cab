package main

import (
	"fmt"
	"log"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// row is the result of a scenario.
type row struct {
	name    string
	times   int // injections of the fault
	report  history.Report
	longest time.Duration // pause between results
	took    time.Duration
	err     error
	// failovers describes the failovers, one per line.
	failovers string
}

func (r row) failed() bool { return r.err != nil || len(r.report.Violations) > 0 }

// log logs the row, its failovers, and up to 20 violations.
func (r row) log() {
	if r.err != nil {
		log.Printf("%s: %v", r.name, r.err)
	}
	for line := range strings.Lines(r.failovers) {
		log.Printf("%s: %s", r.name, strings.TrimSpace(line))
	}
	for i, v := range r.report.Violations {
		if i == 20 {
			log.Printf("%s: and %d more", r.name, len(r.report.Violations)-i)
			break
		}
		log.Printf("%s: %s", r.name, v)
	}
	log.Printf("%s  (%s)", strings.Join(r.cells(), "  "), r.took.Round(100*time.Millisecond))
}

func (r row) cells() []string {
	p := r.report
	cells := []string{r.name}
	for _, n := range []int{r.times, p.Published, p.Delivered, p.Completed, p.LostTasks, p.LostResults, p.Duplicated, p.Rejected, p.Watched} {
		cells = append(cells, fmt.Sprint(n))
	}
	return append(cells, fmt.Sprintf("%.1f", r.longest.Seconds()), fmt.Sprint(len(p.Violations)))
}

var columns = []string{"fault", "times", "tasks", "delivered", "results", "lost tasks", "lost results", "duplicated results", "stale refused",
	"watched", "longest pause s", "violations"}

// printTable prints the rows as a Markdown table.
func printTable(rows []row) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 1, ' ', 0)
	line := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, "\t| ")) }
	line(columns)
	fmt.Fprintln(w, strings.Repeat("|---", len(columns))+"|")
	for _, r := range rows {
		line(r.cells())
	}
	_ = w.Flush()
}

// runAll runs the scenarios whose name contains word, some in parallel, and prints the table. It
// reports whether all passed. It starts with the last scenario, because the slow ones come last.
func runAll(all []scenario, argus, word string, seed uint64, duration time.Duration, parallel int) bool {
	rows := make([]row, len(all))
	limit := make(chan struct{}, parallel)
	var running sync.WaitGroup
	for i, s := range slices.Backward(all) {
		if !strings.Contains(s.name, word) {
			continue
		}
		limit <- struct{}{}
		running.Go(func() {
			defer func() { <-limit }()
			rows[i] = run(s, argus, seed+uint64(i), duration)
			rows[i].log()
		})
	}
	running.Wait()
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.name == "" })
	printTable(rows)
	return !slices.ContainsFunc(rows, row.failed)
}

// run injects one fault under load, and checks the outcome.
func run(s scenario, argus string, seed uint64, duration time.Duration) (r row) {
	r.name = s.name
	start := time.Now()
	defer func() { r.took = time.Since(start) }()
	w, err := newWorld(s, argus, seed)
	if r.err = err; err != nil {
		return r
	}
	defer w.end()
	if r.times, r.err = w.inject(s, duration); r.err != nil {
		return r
	}
	drainErr := w.drain()
	var failures []history.Event
	if o := w.topology.failovers(); o != nil {
		nodes := o.stop()
		failures, r.report.Violations = nodes.Failures()
		r.failovers = nodes.String()
	}
	for _, t := range w.tenants() {
		report, events, err := t.check(failures)
		if r.err = err; err != nil {
			return r
		}
		r.report.Add(report)
		r.longest = max(r.longest, longestPause(events))
	}
	if drainErr != nil {
		r.report.Violations = append(r.report.Violations, history.Violation{Invariant: "I1", Detail: fmt.Sprint("a queue is not empty: ", drainErr)})
	}
	r.report.Violations = append(r.report.Violations, w.checkBaseline()...)
	return r
}

// inject injects a fault repeatedly for the duration, at least once.
func (w *world) inject(s scenario, duration time.Duration) (times int, err error) {
	if s.begin != nil {
		if err := s.begin(w); err != nil {
			return 0, err
		}
	}
	for end := time.Now().Add(duration); times == 0 || time.Now().Before(end); times++ {
		if err := s.inject(w); err != nil {
			return times, err
		}
		pause(w, 100*time.Millisecond, time.Second)
	}
	if s.finish != nil {
		return times, s.finish(w)
	}
	return times, nil
}

// longestPause is the longest time between two recorded results.
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
