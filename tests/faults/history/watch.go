package history

import (
	"maps"
	"slices"
	"time"
)

// resultDelay bounds the time from a job's result to its arrival at a watch. A watch that is
// abandoned within it is no violation.
const resultDelay = 10 * time.Second

// watchEnded checks a watch that ended without a result: the job must not have one.
func (c *checker) watchEnded(e Event) {
	result := c.result(e.Job)
	if result == nil {
		return
	}
	since := e.At.Sub(cursorTime(result.Cursor))
	if e.Outcome != Abandoned || since > resultDelay {
		c.fail("I4", e.Job, "%s did not receive its result, which has been stored for %s", e.Client, since.Round(time.Millisecond))
	}
}

// checkWatch checks what one watch of a job received, in segments: each time that the server
// reports its cursor as expired, the watch resumes at the cursor in that report.
func (c *checker) checkWatch(client, job string, seen []Event) {
	after := ""
	for {
		n := slices.IndexFunc(seen, func(e Event) bool { return e.Kind == CursorExpired })
		if n < 0 {
			c.checkSegment(client, job, after, seen, true)
			return
		}
		if !c.lostBefore(seen[n].At) {
			c.fail("I4", job, "the cursor of %s expired, but no event was lost", client)
		}
		c.checkSegment(client, job, after, seen[:n], false)
		after, seen = seen[n].Cursor, seen[n+1:]
	}
}

// lostBefore reports whether a failure may have lost events before a time.
func (c *checker) lostBefore(at time.Time) bool {
	return slices.ContainsFunc(c.failures, func(f Event) bool {
		return (f.Outcome == LostAll || f.Outcome == LostUnconfirmed) && f.Start.Before(at)
	})
}

// checkSegment checks that a segment holds the stored events after a cursor, without a gap. Its
// last events may have been lost: then the cursor must expire before the next event.
func (c *checker) checkSegment(client, job, after string, seen []Event, isLast bool) {
	stored := c.stored.Events[job]
	for len(stored) > 0 && cursorUpTo(stored[0].Cursor, after) {
		stored = stored[1:]
	}
	count := 0
	for i, e := range seen {
		switch {
		case !c.isStored(job, e.Cursor) && c.mayBeLost(LostUnconfirmed, e):
			if slices.ContainsFunc(seen[i+1:], func(later Event) bool { return c.isStored(job, later.Cursor) }) {
				c.fail("I4", job, "%s received %s, which was lost, and later events without an expired cursor in between", client, e.Cursor)
			}
			return
		case count >= len(stored) || stored[count].Cursor != e.Cursor:
			c.fail("I4", job, "event %d that %s received is %s, but the stored events are %v", i+1, client, e.Cursor, stored)
			return
		}
		count++
	}
	if isLast && len(seen) > 0 && isTerminal(seen[len(seen)-1].Status) && count < len(stored) {
		c.fail("I4", job, "%s received %d of %d events", client, count, len(stored))
	}
}

// cursorUpTo reports whether a cursor is not after another.
func cursorUpTo(cursor, other string) bool {
	x, y := numbers(cursor), numbers(other)
	return slices.Compare(x[:], y[:]) <= 0
}

// Waiting lists the jobs whose watch has neither received a result nor ended.
func Waiting(events []Event) []string {
	waiting := make(map[string]bool)
	for _, e := range events {
		switch {
		case e.Kind == WatchStart:
			waiting[e.Job] = true
		case e.Kind == WatchEnd, e.Kind == WatchEvent && isTerminal(e.Status):
			delete(waiting, e.Job)
		}
	}
	return slices.Collect(maps.Keys(waiting))
}

// EventCounts counts the events that watches received, by job.
func EventCounts(events []Event) map[string]int {
	seen := make(map[string]int)
	for _, e := range events {
		if e.Kind == WatchEvent {
			seen[e.Job]++
		}
	}
	return seen
}
