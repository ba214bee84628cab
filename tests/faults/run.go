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

// row is what became of a scenario.
type row struct {
	name    string
	times   int
	report  history.Report
	longest time.Duration
	took    time.Duration
	err     error
	// failovers lists them, where there were any.
	failovers string
}

func (r row) failed() bool { return r.err != nil || len(r.report.Violations) > 0 }

// tell logs the row, and what went wrong.
func (r row) tell() {
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
	for _, n := range []int{r.times, p.Published, p.Delivered, p.Completed, p.LostTasks, p.LostResults, p.Duplicated, p.Refused, p.Watched} {
		cells = append(cells, fmt.Sprint(n))
	}
	return append(cells, fmt.Sprintf("%.1f", r.longest.Seconds()), fmt.Sprint(len(p.Violations)))
}

var columns = []string{"fault", "times", "tasks", "delivered", "results", "lost tasks", "lost results", "duplicated results", "stale refused",
	"watched", "longest pause s", "violations"}

// printTable prints a table in Markdown.
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

// runAll runs the scenarios with a word in their name, some at once, and prints the table;
// false when something went wrong. Those that take long stand last, and come first.
func runAll(all []scenario, argus, word string, seed uint64, duration time.Duration, atOnce int) bool {
	rows := make([]row, len(all))
	places := make(chan struct{}, atOnce)
	var running sync.WaitGroup
	for i, s := range slices.Backward(all) {
		if !strings.Contains(s.name, word) {
			continue
		}
		places <- struct{}{}
		running.Go(func() {
			defer func() { <-places }()
			rows[i] = run(s, argus, seed+uint64(i), duration)
			rows[i].tell()
		})
	}
	running.Wait()
	rows = slices.DeleteFunc(rows, func(r row) bool { return r.name == "" })
	printTable(rows)
	return !slices.ContainsFunc(rows, row.failed)
}

// run injects one fault under load, and checks what became of it.
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
	drained := w.drain()
	var failures []history.Event
	if o := w.topology.observed(); o != nil {
		seen := o.end()
		failures, r.report.Violations = seen.Failures()
		r.failovers = seen.String()
	}
	for _, t := range w.tenants() {
		report, events, err := t.check(failures)
		if r.err = err; err != nil {
			return r
		}
		r.report.Add(report)
		r.longest = max(r.longest, longestPause(events))
	}
	if drained != nil {
		r.report.Violations = append(r.report.Violations, history.Violation{Invariant: "I1", What: fmt.Sprint("a queue is not empty: ", drained)})
	}
	r.report.Violations = append(r.report.Violations, w.checkBaseline()...)
	return r
}

// inject injects a fault again and again.
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
