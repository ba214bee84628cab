package history

import (
	"slices"
	"time"
)

// patience is how long a job may have had its result when its watch is left without.
const patience = 10 * time.Second

// waited checks a watch that ended without a result: there must have been none to tell.
func (c *checker) waited(e Event) {
	result := c.result(e.Job)
	if result == nil {
		return
	}
	since := e.At.Sub(cursorTime(result.Cursor))
	if e.Outcome != Left || since > patience {
		c.fail("I4", e.Job, "%s still waits for its result, which has stood for %s", e.Who, since.Round(time.Millisecond))
	}
}

// checkWatch checks what one watch saw of a job, in pieces: each time that it is told that
// its cursor is gone, it begins anew at the cursor that it is told.
func (c *checker) checkWatch(who, job string, seen []Event) {
	after := ""
	for {
		n := slices.IndexFunc(seen, func(e Event) bool { return e.Kind == Expired })
		if n < 0 {
			c.checkPiece(who, job, after, seen, true)
			return
		}
		if !c.lostBefore(seen[n].At) {
			c.fail("I4", job, "%s was told that its cursor is gone, and nothing was lost", who)
		}
		c.checkPiece(who, job, after, seen[:n], false)
		after, seen = seen[n].Cursor, seen[n+1:]
	}
}

// lostBefore is true when a failure may have lost an event before a time.
func (c *checker) lostBefore(at time.Time) bool {
	return slices.ContainsFunc(c.failures, func(f Event) bool { return (f.Outcome == LostAll || f.Outcome == LostRest) && f.Began.Before(at) })
}

// checkPiece checks that the events of a piece are those that stand after a cursor, without
// a gap. One that was lost may stand at its end: after it the watch must be told.
func (c *checker) checkPiece(who, job, after string, seen []Event, isLast bool) {
	stored := c.stored.Events[job]
	for len(stored) > 0 && cursorUpTo(stored[0].Cursor, after) {
		stored = stored[1:]
	}
	told := 0
	for i, e := range seen {
		switch {
		case !c.stands(job, e.Cursor) && c.mayBeLost(LostRest, e):
			if slices.ContainsFunc(seen[i+1:], func(later Event) bool { return c.stands(job, later.Cursor) }) {
				c.fail("I4", job, "%s saw %s, which was lost, and was not told before it saw what came after", who, e.Cursor)
			}
			return
		case told >= len(stored) || stored[told].Cursor != e.Cursor:
			c.fail("I4", job, "event %d that %s saw is %s, and the store has %v", i+1, who, e.Cursor, stored)
			return
		}
		told++
	}
	if isLast && len(seen) > 0 && isTerminal(seen[len(seen)-1].Status) && told < len(stored) {
		c.fail("I4", job, "%s saw %d of %d events", who, told, len(stored))
	}
}

// cursorUpTo is true of a cursor that is not after another.
func cursorUpTo(cursor, other string) bool {
	x, y := numbers(cursor), numbers(other)
	return slices.Compare(x[:], y[:]) <= 0
}

// Waiting lists the jobs that a watcher's history leaves without a result.
func Waiting(events []Event) []string {
	waiting := make(map[string]bool)
	for _, e := range events {
		switch {
		case e.Kind == Follow:
			waiting[e.Job] = true
		case e.Kind == Waits, e.Kind == Watch && isTerminal(e.Status):
			delete(waiting, e.Job)
		}
	}
	var jobs []string
	for job := range waiting {
		jobs = append(jobs, job)
	}
	return jobs
}

// Seen counts the events that a watcher saw of each job.
func Seen(events []Event) map[string]int {
	seen := make(map[string]int)
	for _, e := range events {
		if e.Kind == Watch {
			seen[e.Job]++
		}
	}
	return seen
}
