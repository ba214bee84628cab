package history

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// checkFair checks that no organization exceeded its limit of tasks in flight. A task is in
// flight at least from its first delivery until a worker's call to settle it. Tasks in flight
// during a failure do not count, because Redis may have lost their leases.
func (c *checker) checkFair(events []Event, limit int) {
	type change struct {
		at  time.Time
		job string
		by  int
	}
	changes := make(map[string][]change) // by organization
	for _, f := range flights(events) {
		if !c.isInterrupted(f) && f.to.After(f.from) {
			changes[f.organization] = append(changes[f.organization], change{f.from, f.job, 1}, change{f.to, f.job, -1})
		}
	}
	for organization, all := range changes {
		slices.SortFunc(all, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), a.by-b.by) })
		most, inFlight, last := limit, 0, change{}
		for _, change := range all {
			if inFlight += change.by; inFlight > most {
				most, last = inFlight, change
			}
		}
		if most > limit {
			c.fail("I9", last.job, "%s had %d tasks in flight; its limit is %d", organization, most, limit)
		}
	}
}

// flight is the time that a task of an organization was in flight: from its first delivery until
// it was settled, or until its last delivery.
type flight struct {
	organization, job string
	from, to          time.Time
	isSettled         bool
}

// flights finds the flight of each task of a fair queue.
func flights(events []Event) map[string]*flight {
	all := make(map[string]*flight) // by job and entry
	for _, e := range events {
		entry, _, _ := strings.Cut(e.Lease, " ")
		f := all[e.Job+" "+entry]
		switch {
		case e.Kind == Deliver && e.Organization != "" && f == nil:
			all[e.Job+" "+entry] = &flight{organization: e.Organization, job: e.Job, from: e.At, to: e.At}
		case e.Kind == Deliver && f != nil && !f.isSettled:
			f.to = e.At
		case (e.Kind == Nack || e.Kind == Complete && e.Outcome != LeaseLost) && f != nil && (!f.isSettled || e.Start.Before(f.to)):
			f.to, f.isSettled = e.Start, true
		}
	}
	return all
}

// isInterrupted reports whether a failure happened during a flight.
func (c *checker) isInterrupted(f *flight) bool {
	return slices.ContainsFunc(c.failures, func(e Event) bool { return !f.from.After(e.At) && !f.to.Before(e.Start) })
}
