package history

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Check checks the history of one tenant against what Redis holds after all queues are drained.
//
//	I1 an acknowledged publish has a result or is still queued
//	I2 a job has at most one result
//	I3 no result is recorded under a superseded lease
//	I4 a watch receives every event of a job, in order, once, and ends with the result; when an
//	   event that it received is lost, the server reports its cursor as expired
//	I5 no client receives another tenant's data
//	I6 every delivered task was published
//	I9 no organization exceeds its limit of tasks in flight
//
// Writes that Redis may have lost in one of the history's failures are counted, and are no
// violations. Any other loss is one.
func Check(events []Event, stored Stored, canary string) Report {
	c := checker{stored: stored, requested: make(map[string]bool), leases: make(map[string][]Event),
		results: make(map[string][]Event), watched: make(map[string][]Event)}
	for _, e := range events {
		if e.Kind == Failure {
			c.failures = append(c.failures, e)
		}
	}
	for _, e := range events {
		c.record(e, canary)
	}
	c.checkStore()
	if stored.FairLimit > 0 {
		c.checkFair(events, stored.FairLimit)
	}
	for key, seen := range c.watched {
		client, job, _ := strings.Cut(key, " ")
		c.checkWatch(client, job, seen)
	}
	return c.report
}

// checker collects the events of a history by job.
type checker struct {
	report    Report
	stored    Stored
	failures  []Event
	requested map[string]bool    // jobs with a publish, acknowledged or not
	leases    map[string][]Event // deliveries, by job
	results   map[string][]Event // recorded results, by job
	watched   map[string][]Event // received events, by client and job
}

// fail adds a violation.
func (c *checker) fail(invariant, job, format string, args ...any) {
	c.report.Violations = append(c.report.Violations, Violation{invariant, job, fmt.Sprintf(format, args...)})
}

// ackDelay bounds the time from a write to its acknowledgement on a busy machine. It applies to
// events without a start time.
const ackDelay = 5 * time.Second

// mayBeLost reports whether a failure may have lost a write of a kind: it was acknowledged after
// the failure's start, and made before its end.
func (c *checker) mayBeLost(what string, e Event) bool {
	made := e.At.Add(-ackDelay)
	switch {
	case e.Cursor != "":
		made = cursorTime(e.Cursor)
	case !e.Start.IsZero():
		made = e.Start
	}
	return slices.ContainsFunc(c.failures, func(f Event) bool {
		return (f.Outcome == LostAll || f.Outcome == what) && !e.At.Before(f.Start) && !made.After(f.At)
	})
}

// record adds an event of the history.
func (c *checker) record(e Event, canary string) {
	if e.Canary != "" && e.Canary != canary {
		c.fail("I5", e.Job, "%s received %q, which belongs to another tenant", e.Client, e.Canary)
	}
	switch e.Kind {
	case Publish:
		c.published(e)
	case Deliver:
		c.report.Delivered++
		if !c.requested[e.Job] {
			c.fail("I6", e.Job, "%s received the task, but no client published it", e.Client)
		}
		c.leases[e.Job] = append(c.leases[e.Job], e)
	case Complete:
		c.completed(e)
	case WatchEnd:
		c.watchEnded(e)
	case WatchEvent, CursorExpired:
		if e.Kind == WatchEvent {
			c.report.Watched++
		}
		key := e.Client + " " + e.Job
		c.watched[key] = append(c.watched[key], e)
	}
}

func (c *checker) published(e Event) {
	c.requested[e.Job] = true
	if e.Outcome != OK {
		return
	}
	c.report.Published++
	if c.result(e.Job) != nil || c.stored.Queued[e.Job] {
		return
	}
	c.report.LostTasks++
	if !c.mayBeLost(LostTasks, e) {
		c.fail("I1", e.Job, "its publish was acknowledged, but it has neither a task nor a result")
	}
}

func (c *checker) completed(e Event) {
	switch e.Outcome {
	case LeaseLost:
		c.report.Rejected++
	case OK:
		c.report.Completed++
		c.results[e.Job] = append(c.results[e.Job], e)
		for _, d := range c.leases[e.Job] {
			if d.At.Before(e.Start) && leaseLess(e.Lease, d.Lease) && !c.mayBeLost(LostUnconfirmed, d) && !c.isForgotten(d, e) {
				c.fail("I3", e.Job, "%s recorded a result under lease %s, after %s received lease %s", e.Client, e.Lease, d.Client, d.Lease)
			}
		}
	}
}

// isForgotten reports whether Redis lost all leases between a delivery and a result: then the
// delivery count restarted, and the two leases cannot be compared.
func (c *checker) isForgotten(d, result Event) bool {
	return slices.ContainsFunc(c.failures, func(f Event) bool {
		return f.Outcome == LostLeases && !d.At.After(f.At) && !result.At.Before(f.Start)
	})
}

// result is a job's result; nil without one.
func (c *checker) result(job string) *StoredEvent {
	i := slices.IndexFunc(c.stored.Events[job], StoredEvent.Terminal)
	if i < 0 {
		return nil
	}
	return &c.stored.Events[job][i]
}

func (c *checker) isStored(job, cursor string) bool {
	return slices.ContainsFunc(c.stored.Events[job], func(s StoredEvent) bool { return s.Cursor == cursor })
}

// checkStore checks that each job has one result, and that acknowledged results are stored.
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
		stored := 0
		for _, e := range results {
			if c.isStored(job, e.Cursor) {
				stored++
				continue
			}
			c.report.LostResults++
			if !c.mayBeLost(LostResults, e) {
				c.fail("I2", job, "the result of %s was acknowledged at cursor %s, but is not stored there", e.Client, e.Cursor)
			}
		}
		if stored > 1 {
			c.report.Duplicated += stored - 1
			c.fail("I2", job, "the results of %d workers were acknowledged", stored)
		}
	}
}

// leaseLess reports whether lease a is older than lease b.
func leaseLess(a, b string) bool {
	x, y := numbers(a), numbers(b)
	return slices.Compare(x[:], y[:]) < 0
}

// cursorTime is the time at which the event at a cursor was written.
func cursorTime(cursor string) time.Time { return time.UnixMilli(int64(numbers(cursor)[0])) }

// numbers parses the numbers of a lease or a cursor.
func numbers(text string) (n [3]uint64) {
	for i, part := range strings.FieldsFunc(text, func(r rune) bool { return r == '-' || r == ' ' }) {
		if i < len(n) {
			n[i], _ = strconv.ParseUint(part, 10, 64)
		}
	}
	return n
}
