package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Stored is what the store holds in the end.
type Stored struct {
	// Events are the completion events of each job, in their order.
	Events map[string][]StoredEvent
	// Queued are the jobs that have a task waiting, leased, delayed or dead.
	Queued map[string]bool
	// FairLimit is how many tasks an organization may have in flight; 0 for any number.
	FairLimit int
}

// StoredEvent is a completion event.
type StoredEvent struct {
	Cursor, Status string
}

// Terminal is true of the event that ends a job.
func (e StoredEvent) Terminal() bool { return isTerminal(e.Status) }

func isTerminal(status string) bool {
	return slices.Contains([]string{"completed", "partial", "failed", "cancelled"}, status)
}

// Violation is a promise that was not kept.
type Violation struct {
	Invariant string // I1 to I9
	Job       string
	What      string
}

func (v Violation) String() string { return fmt.Sprintf("%s %s: %s", v.Invariant, v.Job, v.What) }

// Report is what the checker found.
type Report struct {
	Published, Delivered, Completed int
	LostTasks                       int // publishes that were acknowledged, and of which nothing is left
	LostResults                     int // results that a worker was told are recorded, and are not
	Duplicated                      int // results beyond the first of a job
	Refused                         int // results that came under a lost lease
	Watched                         int
	Violations                      []Violation
}

// Add adds what was found of another tenant.
func (r *Report) Add(o Report) {
	r.Published, r.Delivered, r.Completed = r.Published+o.Published, r.Delivered+o.Delivered, r.Completed+o.Completed
	r.LostTasks, r.LostResults, r.Duplicated = r.LostTasks+o.LostTasks, r.LostResults+o.LostResults, r.Duplicated+o.Duplicated
	r.Refused, r.Watched = r.Refused+o.Refused, r.Watched+o.Watched
	r.Violations = append(r.Violations, o.Violations...)
}

// Check checks a history of one tenant against what the store holds after everything was
// worked off.
//
//	I1 a publish that was acknowledged has a result, or is queued still
//	I2 a job has one terminal record
//	I3 no result is recorded under a lease that was superseded
//	I4 a watch sees all events of a job, in their order, each once, and does not wait on;
//	   when what it saw is lost, it is told
//	I5 nobody sees what belongs to another tenant
//	I6 no task is delivered that nobody published
//	I9 no organization has more tasks in flight than it may
//
// What Redis itself may have lost, by the failures in the history, is counted and is no
// violation. Outside of these nothing may be lost.
func Check(events []Event, stored Stored, canary string) Report {
	c := checker{stored: stored, asked: make(map[string]bool), leases: make(map[string][]Event),
		results: make(map[string][]Event), watched: make(map[string][]Event)}
	for _, e := range events {
		if e.Kind == Failure {
			c.failures = append(c.failures, e)
		}
	}
	for _, e := range events {
		c.take(e, canary)
	}
	c.checkStore()
	if stored.FairLimit > 0 {
		c.checkFair(events, stored.FairLimit)
	}
	for key, seen := range c.watched {
		who, job, _ := strings.Cut(key, " ")
		c.checkWatch(who, job, seen)
	}
	return c.report
}

type checker struct {
	report   Report
	stored   Stored
	failures []Event
	asked    map[string]bool    // jobs that someone tried to publish
	leases   map[string][]Event // deliveries by job
	results  map[string][]Event // Completes that recorded, by job
	watched  map[string][]Event // by watcher and job
}

func (c *checker) fail(invariant, job, format string, args ...any) {
	c.report.Violations = append(c.report.Violations, Violation{invariant, job, fmt.Sprintf(format, args...)})
}

// toldAfter is how long after it was made a write may be told, on a busy machine, of which it
// is not known when it was made.
const toldAfter = 5 * time.Second

// mayBeLost is true of a write of a kind if a failure may have lost it: it was told after the
// failure began, and made before it was over.
func (c *checker) mayBeLost(what string, e Event) bool {
	made := e.At.Add(-toldAfter)
	switch {
	case e.Cursor != "":
		made = cursorTime(e.Cursor)
	case !e.Began.IsZero():
		made = e.Began
	}
	return slices.ContainsFunc(c.failures, func(f Event) bool {
		return (f.Outcome == LostAll || f.Outcome == what) && !e.At.Before(f.Began) && !made.After(f.At)
	})
}

func (c *checker) take(e Event, canary string) {
	if e.Canary != "" && e.Canary != canary {
		c.fail("I5", e.Job, "%s saw %q, which is another tenant's", e.Who, e.Canary)
	}
	switch e.Kind {
	case Publish:
		c.published(e)
	case Deliver:
		c.report.Delivered++
		if !c.asked[e.Job] {
			c.fail("I6", e.Job, "%s was given it, and nobody published it", e.Who)
		}
		c.leases[e.Job] = append(c.leases[e.Job], e)
	case Complete:
		c.completed(e)
	case Waits:
		c.waited(e)
	case Watch, Expired:
		if e.Kind == Watch {
			c.report.Watched++
		}
		key := e.Who + " " + e.Job
		c.watched[key] = append(c.watched[key], e)
	}
}

func (c *checker) published(e Event) {
	c.asked[e.Job] = true
	if e.Outcome != OK {
		return
	}
	c.report.Published++
	if c.result(e.Job) != nil || c.stored.Queued[e.Job] {
		return
	}
	c.report.LostTasks++
	if !c.mayBeLost(LostTasks, e) {
		c.fail("I1", e.Job, "its publish was acknowledged, and nothing is left of it")
	}
}

func (c *checker) completed(e Event) {
	switch e.Outcome {
	case Lost:
		c.report.Refused++
	case OK:
		c.report.Completed++
		c.results[e.Job] = append(c.results[e.Job], e)
		for _, d := range c.leases[e.Job] {
			if d.At.Before(e.Began) && leaseLess(e.Lease, d.Lease) && !c.mayBeLost(LostRest, d) && !c.isForgotten(d, e) {
				c.fail("I3", e.Job, "%s recorded a result under the lease %s, after %s was given %s", e.Who, e.Lease, d.Who, d.Lease)
			}
		}
	}
}

// isForgotten is true of a delivery if Redis forgot all leases between it and a result: then
// counting began anew.
func (c *checker) isForgotten(d, result Event) bool {
	return slices.ContainsFunc(c.failures, func(f Event) bool {
		return f.Outcome == LostLeases && !d.At.After(f.At) && !result.At.Before(f.Began)
	})
}

// result is the event that ended a job; nil when there is none.
func (c *checker) result(job string) *StoredEvent {
	i := slices.IndexFunc(c.stored.Events[job], StoredEvent.Terminal)
	if i < 0 {
		return nil
	}
	return &c.stored.Events[job][i]
}

func (c *checker) stands(job, cursor string) bool {
	return slices.ContainsFunc(c.stored.Events[job], func(s StoredEvent) bool { return s.Cursor == cursor })
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
			c.report.Duplicated += n - 1
			c.fail("I2", job, "it has %d results", n)
		}
	}
	for job, results := range c.results {
		standing := 0
		for _, e := range results {
			if c.stands(job, e.Cursor) {
				standing++
				continue
			}
			c.report.LostResults++
			if !c.mayBeLost(LostResults, e) {
				c.fail("I2", job, "%s was told that its result stands at %s, and it does not", e.Who, e.Cursor)
			}
		}
		if standing > 1 {
			c.report.Duplicated += standing - 1
			c.fail("I2", job, "%d workers were told that they recorded its result", standing)
		}
	}
}

// leaseLess is true when lease a, "entry count", is older than b.
func leaseLess(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return slices.Compare(x[:], y[:]) < 0
}

// cursorTime is when the event at a cursor was written.
func cursorTime(cursor string) time.Time { return time.UnixMilli(int64(numbers(cursor)[0])) }

// numbers are those of a lease or a cursor.
func numbers(text string) (n [3]uint64) {
	for i, part := range strings.FieldsFunc(text, func(r rune) bool { return r == '-' || r == ' ' }) {
		if i < len(n) {
			n[i], _ = strconv.ParseUint(part, 10, 64)
		}
	}
	return n
}
