package history

import (
	"fmt"
	"testing"
)

// No organization has more tasks in flight than it may, as far as workers can tell.
func TestCheckFair(t *testing.T) {
	t.Parallel()
	deliver := func(s float64, job, lease, organization string) Event {
		return Event{Kind: Deliver, Who: "w", Job: job, Lease: lease, Organization: organization, At: at(s)}
	}
	complete := func(s float64, job, lease, outcome string) Event {
		return Event{Kind: Complete, Who: "w", Job: job, Lease: lease, Outcome: outcome, Began: at(s), At: at(s + 1)}
	}
	two := []Event{deliver(1, "a", "1-0 1", "o"), deliver(2, "b", "2-0 1", "o")}
	for name, c := range map[string]struct {
		more []Event
		want int
	}{
		"two at a time": {[]Event{complete(3, "a", "1-0 1", Unknown), deliver(3, "c", "3-0 1", "o"), complete(9, "c", "3-0 1", Unknown), complete(9, "b", "2-0 1", Unknown)}, 0},
		"three at a time": {[]Event{deliver(3, "c", "3-0 1", "o"), complete(4, "a", "1-0 1", Unknown), complete(4, "b", "2-0 1", Unknown),
			complete(5, "c", "3-0 1", Unknown)}, 1},
		"the third is of another": {[]Event{deliver(3, "c", "3-0 1", "p"), complete(4, "a", "1-0 1", Unknown), complete(4, "b", "2-0 1", Unknown),
			complete(5, "c", "3-0 1", Unknown)}, 0},
		"one is given back": {[]Event{{Kind: GiveBack, Job: "a", Lease: "1-0 1", Began: at(2.5), At: at(2.5)}, deliver(3, "c", "3-0 1", "o"),
			complete(4, "b", "2-0 1", Unknown), complete(5, "c", "3-0 1", Unknown)}, 0},
		"one was lost, and is still in flight": {[]Event{complete(2.5, "a", "1-0 1", Lost), deliver(3, "c", "3-0 1", "o"), deliver(4, "a", "1-0 2", "o"),
			complete(4, "b", "2-0 1", Unknown), complete(5, "c", "3-0 1", Unknown)}, 1},
		"they were forgotten": {[]Event{failure(LostAll, 3, 4), deliver(5, "c", "3-0 1", "o"), complete(6, "a", "1-0 1", Unknown), complete(6, "b", "2-0 1", Unknown),
			complete(7, "c", "3-0 1", Unknown)}, 0},
		"they are delivered, and no more is known of them": {[]Event{deliver(3, "c", "3-0 1", "o")}, 0},
	} {
		var events []Event
		for _, job := range []string{"a", "b", "c"} {
			events = append(events, Event{Kind: Publish, Job: job, Outcome: Begun})
		}
		r := Check(append(append(events, two...), c.more...), Stored{FairLimit: 2}, "")
		if n := len(r.Violations); n != c.want || n == 1 && r.Violations[0].Invariant != "I9" {
			t.Error(fmt.Sprint(name, ": ", r.Violations))
		}
	}
}
