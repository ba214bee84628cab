// Package history records what clients of a task queue did and saw while things broke,
// and checks that what was promised holds.
package history

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Kind is what an Event is about.
type Kind string

// The kinds.
const (
	Publish  Kind = "publish"  // a task was to be published: Outcome "begun", then perhaps "ok"
	Deliver  Kind = "deliver"  // a worker was given a task
	Complete Kind = "complete" // a worker reported a result
	Watch    Kind = "watch"    // a watch saw an event
	Waits    Kind = "waits"    // a watch still waited when everything was over
)

// Outcomes.
const (
	Begun   = "begun" // it was asked for, the answer is not known yet
	OK      = "ok"
	Already = "already" // the job had a result
	Lost    = "lost"    // the lease was
	Unknown = "unknown"
)

// Event is one line of a history.
type Event struct {
	Kind    Kind      `json:"kind"`
	Who     string    `json:"who"`
	Tenant  string    `json:"tenant,omitempty"`
	Job     string    `json:"job"`
	Began   time.Time `json:"began"` // of a call, when it was made
	At      time.Time `json:"at"`
	Outcome string    `json:"outcome,omitempty"`
	// Lease is the delivery: entry id, delivery count.
	Lease  string `json:"lease,omitempty"`
	Cursor string `json:"cursor,omitempty"`
	Status string `json:"status,omitempty"`
	// Canary is what the task or the event carries of its tenant.
	Canary string `json:"canary,omitempty"`
}

// Log writes the history of one process. Each line is written at once, so that it is
// there when the process is killed.
type Log struct {
	mu   sync.Mutex
	file *os.File
}

// Open opens the history of a process in a folder.
func Open(dir, who string) (*Log, error) {
	file, err := os.OpenFile(filepath.Join(dir, who+".jsonl"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return &Log{file: file}, err
}

// Add writes an event.
func (l *Log) Add(e Event) {
	e.At = time.Now()
	text, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and times
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.file.Write(append(text, '\n')); err != nil {
		panic(err)
	}
}

// Read reads the histories in a folder, in the order of time. A line that a kill cut off
// is left out.
func Read(dir string) ([]Event, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return nil, err
	}
	var all []Event
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(bytes.NewReader(text))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var e Event
			if json.Unmarshal(lines.Bytes(), &e) == nil {
				all = append(all, e)
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Event) int { return a.At.Compare(b.At) })
	return all, nil
}

// Stored is what the store holds in the end.
type Stored struct {
	// Events are the completion events of each job, in their order.
	Events map[string][]StoredEvent
	// Queued are the jobs that have a task waiting, leased, delayed or dead.
	Queued map[string]bool
}

// StoredEvent is a completion event.
type StoredEvent struct {
	Cursor, Status string
}

// Terminal is true of the event that ends a job.
func (e StoredEvent) Terminal() bool {
	return slices.Contains([]string{"completed", "partial", "failed", "cancelled"}, e.Status)
}

// Violation is a promise that was not kept.
type Violation struct {
	Invariant string // I1 to I6
	Job       string
	What      string
}

func (v Violation) String() string { return fmt.Sprintf("%s %s: %s", v.Invariant, v.Job, v.What) }

// Report is what the checker found.
type Report struct {
	Published, Delivered, Completed, Lost, Watched int
	Violations                                     []Violation
}

// Check checks a history of one tenant against what the store holds after everything was
// worked off.
//
//	I1 a publish that was acknowledged has a result, or is queued still
//	I2 a job has one terminal record
//	I3 no result is recorded under a lease that was superseded
//	I4 a watch sees all events of a job, in their order, each once, and does not wait on
//	I5 nobody sees what belongs to another tenant
//	I6 no task is delivered that nobody published
func Check(events []Event, stored Stored, canary string) Report {
	c := checker{stored: stored, asked: make(map[string]bool), leases: make(map[string][]Event),
		results: make(map[string][]Event), watched: make(map[string][]Event)}
	for _, e := range events {
		c.take(e, canary)
	}
	c.checkStore()
	c.checkWatches()
	return c.report
}

type checker struct {
	report  Report
	stored  Stored
	asked   map[string]bool    // jobs that someone tried to publish
	leases  map[string][]Event // deliveries by job
	results map[string][]Event // Completes that recorded, by job
	watched map[string][]Event // by watcher and job
}

func (c *checker) fail(invariant, job, format string, args ...any) {
	c.report.Violations = append(c.report.Violations, Violation{invariant, job, fmt.Sprintf(format, args...)})
}

func (c *checker) take(e Event, canary string) {
	if e.Canary != "" && e.Canary != canary {
		c.fail("I5", e.Job, "%s saw %q, which is another tenant's", e.Who, e.Canary)
	}
	switch e.Kind {
	case Publish:
		c.asked[e.Job] = true
		if e.Outcome == OK {
			c.report.Published++
			if !c.isDone(e.Job) && !c.stored.Queued[e.Job] {
				c.fail("I1", e.Job, "its publish was acknowledged, and nothing is left of it")
			}
		}
	case Deliver:
		c.report.Delivered++
		if !c.asked[e.Job] {
			c.fail("I6", e.Job, "%s was given it, and nobody published it", e.Who)
		}
		c.leases[e.Job] = append(c.leases[e.Job], e)
	case Complete:
		switch e.Outcome {
		case Lost:
			c.report.Lost++
		case OK:
			c.report.Completed++
			c.results[e.Job] = append(c.results[e.Job], e)
			for _, d := range c.leases[e.Job] {
				if d.At.Before(e.Began) && leaseLess(e.Lease, d.Lease) {
					c.fail("I3", e.Job, "%s recorded a result under the lease %s, after %s was given %s", e.Who, e.Lease, d.Who, d.Lease)
				}
			}
			if !slices.ContainsFunc(c.stored.Events[e.Job], func(s StoredEvent) bool { return s.Cursor == e.Cursor }) {
				c.fail("I2", e.Job, "%s was told that its result stands at %s, and it does not", e.Who, e.Cursor)
			}
		}
	case Waits:
		if c.isDone(e.Job) {
			c.fail("I4", e.Job, "%s still waits for its result", e.Who)
		}
	case Watch:
		c.report.Watched++
		key := e.Who + " " + e.Job
		c.watched[key] = append(c.watched[key], e)
	}
}

func (c *checker) isDone(job string) bool {
	return slices.ContainsFunc(c.stored.Events[job], StoredEvent.Terminal)
}

func (c *checker) checkStore() {
	for job, events := range c.stored.Events {
		n := 0
		for _, e := range events {
			if e.Terminal() {
				n++
			}
		}
		if n > 1 {
			c.fail("I2", job, "it has %d results", n)
		}
	}
	for job, results := range c.results {
		if len(results) > 1 {
			c.fail("I2", job, "%d workers were told that they recorded its result", len(results))
		}
	}
}

func (c *checker) checkWatches() {
	for key, seen := range c.watched {
		who, job, _ := strings.Cut(key, " ")
		stored := c.stored.Events[job]
		for i, e := range seen {
			if i >= len(stored) || stored[i].Cursor != e.Cursor {
				c.fail("I4", job, "event %d that %s saw is %s, and the store has %v", i+1, who, e.Cursor, stored)
				break
			}
		}
		if last := seen[len(seen)-1]; (StoredEvent{Status: last.Status}).Terminal() && len(seen) < len(stored) {
			c.fail("I4", job, "%s saw %d of %d events", who, len(seen), len(stored))
		}
	}
}

// leaseLess is true when lease a, "entry count", is older than b.
func leaseLess(a, b string) bool {
	parse := func(lease string) (n [3]uint64) {
		for i, part := range strings.FieldsFunc(lease, func(r rune) bool { return r == '-' || r == ' ' }) {
			if i < 3 {
				n[i], _ = strconv.ParseUint(part, 10, 64)
			}
		}
		return n
	}
	x, y := parse(a), parse(b)
	return slices.Compare(x[:], y[:]) < 0
}
