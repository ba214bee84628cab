package history

import (
	"fmt"
	"testing"
)

func TestCheckFindsTooManyTasksInFlight(t *testing.T) {
	t.Parallel()
	deliver := func(s float64, job, lease, organization string) Event {
		return Event{Kind: Deliver, Client: "w", Job: job, Lease: lease, Organization: organization, At: at(s)}
	}
	complete := func(s float64, job, lease, outcome string) Event {
		return Event{Kind: Complete, Client: "w", Job: job, Lease: lease, Outcome: outcome, Start: at(s), At: at(s + 1)}
	}
	two := []Event{deliver(1, "a", "1-0 1", "o"), deliver(2, "b", "2-0 1", "o")}
	for name, c := range map[string]struct {
		more []Event
		want int
	}{
		"two at a time": {[]Event{complete(3, "a", "1-0 1", Unknown), deliver(3, "c", "3-0 1", "o"), complete(9, "c", "3-0 1", Unknown), complete(9, "b", "2-0 1", Unknown)}, 0},
		"three at a time exceed the limit": {[]Event{deliver(3, "c", "3-0 1", "o"), complete(4, "a", "1-0 1", Unknown), complete(4, "b", "2-0 1", Unknown),
			complete(5, "c", "3-0 1", Unknown)}, 1},
		"the third belongs to another organization": {[]Event{deliver(3, "c", "3-0 1", "p"), complete(4, "a", "1-0 1", Unknown), complete(4, "b", "2-0 1", Unknown),
			complete(5, "c", "3-0 1", Unknown)}, 0},
		"one was returned before the third": {[]Event{{Kind: Nack, Job: "a", Lease: "1-0 1", Start: at(2.5), At: at(2.5)}, deliver(3, "c", "3-0 1", "o"),
			complete(4, "b", "2-0 1", Unknown), complete(5, "c", "3-0 1", Unknown)}, 0},
		"one lost its lease, and stays in flight": {[]Event{complete(2.5, "a", "1-0 1", LeaseLost), deliver(3, "c", "3-0 1", "o"), deliver(4, "a", "1-0 2", "o"),
			complete(4, "b", "2-0 1", Unknown), complete(5, "c", "3-0 1", Unknown)}, 1},
		"a failure lost the leases": {[]Event{failure(LostAll, 3, 4), deliver(5, "c", "3-0 1", "o"), complete(6, "a", "1-0 1", Unknown), complete(6, "b", "2-0 1", Unknown),
			complete(7, "c", "3-0 1", Unknown)}, 0},
		"no task was settled or delivered again": {[]Event{deliver(3, "c", "3-0 1", "o")}, 0},
	} {
		var events []Event
		for _, job := range []string{"a", "b", "c"} {
			events = append(events, Event{Kind: Publish, Job: job, Outcome: Started})
		}
		r := Check(append(append(events, two...), c.more...), Stored{FairLimit: 2}, "")
		if n := len(r.Violations); n != c.want || n == 1 && r.Violations[0].Invariant != "I9" {
			t.Error(fmt.Sprint(name, ": ", r.Violations))
		}
	}
}
