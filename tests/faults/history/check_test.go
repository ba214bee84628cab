package history

import (
	"slices"
	"testing"
	"time"
)

// validHistory is a history without violations: a worker exceeds its lease, and another one
// completes the task.
func validHistory() ([]Event, Stored) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	events := []Event{
		{Kind: Publish, Job: "a", Outcome: Started, At: at(1)}, {Kind: Publish, Job: "a", Outcome: OK, At: at(2), Canary: "mine"},
		{Kind: Deliver, Client: "w1", Job: "a", Lease: "5-0 1", At: at(3), Canary: "mine"},
		{Kind: Deliver, Client: "w2", Job: "a", Lease: "5-0 2", At: at(13)},
		{Kind: Complete, Client: "w1", Job: "a", Lease: "5-0 1", Start: at(14), At: at(15), Outcome: LeaseLost},
		{Kind: Complete, Client: "w2", Job: "a", Lease: "5-0 2", Start: at(14), At: at(16), Outcome: OK, Cursor: "9-0"},
		{Kind: Complete, Client: "w2", Job: "a", Lease: "5-0 2", Start: at(17), At: at(18), Outcome: AlreadyCompleted, Cursor: "9-0"},
		{Kind: WatchEvent, Client: "x", Job: "a", Cursor: "7-0", Status: "running", At: at(10)}, {Kind: WatchEvent, Client: "x", Job: "a", Cursor: "9-0", Status: "completed", At: at(16)},
		{Kind: Publish, Job: "b", Outcome: Started, At: at(19)},
	}
	return events, Stored{Events: map[string][]StoredEvent{"a": {{"7-0", "running"}, {"9-0", "completed"}}}, Queued: map[string]bool{}}
}

func TestCheckFindsEachViolation(t *testing.T) {
	t.Parallel()
	events, stored := validHistory()
	if r := Check(events, stored, "mine"); len(r.Violations) != 0 || r.Published != 1 || r.Delivered != 2 || r.Completed != 1 || r.Rejected != 1 || r.Watched != 2 {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		invariant string
		change    func(events []Event, stored *Stored) []Event
	}{
		"a task is lost": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Publish, Job: "c", Outcome: OK})
		}},
		"a second result is stored": {"I2", func(events []Event, stored *Stored) []Event {
			stored.Events["a"] = append(stored.Events["a"], StoredEvent{"10-0", "failed"})
			return events
		}},
		"a second result is acknowledged": {"I2", func(events []Event, _ *Stored) []Event {
			events[6].Outcome = OK
			return events
		}},
		"an acknowledged result is not stored": {"I2", func(events []Event, _ *Stored) []Event {
			events[5].Cursor = "8-0"
			return events
		}},
		"a result under a superseded lease": {"I3", func(events []Event, _ *Stored) []Event {
			events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, LeaseLost, "9-0"
			return events
		}},
		"a superseded lease, after an earlier loss of leases": {"I3", func(events []Event, _ *Stored) []Event {
			events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, LeaseLost, "9-0"
			return append(events, failure(LostLeases, 10, 12))
		}},
		"a result under the lease of a superseded entry": {"I3", func(events []Event, _ *Stored) []Event {
			events[3].Lease, events[5].Lease = "6-0 1", "5-0 9"
			return events
		}},
		"a watch misses the first event":  {"I4", func(events []Event, _ *Stored) []Event { return slices.Delete(events, 7, 8) }},
		"a watch receives an event twice": {"I4", func(events []Event, _ *Stored) []Event { return slices.Insert(events, 7, events[7]) }},
		"a watch receives events out of order": {"I4", func(events []Event, _ *Stored) []Event {
			events[7], events[8] = events[8], events[7]
			return events
		}},
		"a watch misses an event in the middle": {"I4", func(events []Event, stored *Stored) []Event {
			stored.Events["a"] = slices.Insert(stored.Events["a"], 1, StoredEvent{"8-0", "running"})
			return events
		}},
		"a watch ends without the stored result": {"I4", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: WatchEnd, Client: "y", Job: "a"})
		}},
		"a worker receives another tenant's task": {"I5", func(events []Event, _ *Stored) []Event {
			events[2].Canary = "theirs"
			return events
		}},
		"a cursor expires although no event is lost": {"I4", func(events []Event, _ *Stored) []Event {
			return slices.Insert(events, 8, Event{Kind: CursorExpired, Client: "x", Job: "a", Cursor: "7-0", At: time.Unix(11, 0)})
		}},
		"a watch is abandoned long after the result": {"I4", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: WatchEnd, Client: "y", Job: "a", Outcome: Abandoned, At: time.UnixMilli(9).Add(resultDelay + 1)})
		}},
		"a task is lost that was published before the failure": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, failure(LostAll, 20, 30), Event{Kind: Publish, Job: "c", Outcome: OK, At: time.Unix(19, 0)})
		}},
		"a result is lost in a failure that loses tasks only": {"I2", func(events []Event, _ *Stored) []Event {
			events[5].Cursor = "8-0"
			return append(events, failure(LostTasks, 0, 30))
		}},
		"a task is lost in a failure that loses unconfirmed writes only": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, failure(LostUnconfirmed, 0, 30), Event{Kind: Publish, Job: "c", Outcome: OK, At: time.Unix(19, 0)})
		}},
		"a task is delivered without a publish": {"I6", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Deliver, Job: "ghost", Lease: "1-0 1"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, stored := validHistory()
			r := Check(c.change(events, &stored), stored, "mine")
			if !slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == c.invariant }) {
				t.Errorf("want %s: %v", c.invariant, r.Violations)
			}
		})
	}
}

// failure may lose writes between two times, in Unix seconds.
func failure(lost string, from, to int64) Event {
	return Event{Kind: Failure, Outcome: lost, Start: time.Unix(from, 0), At: time.Unix(to, 0)}
}

func TestCheckCountsWritesLostInAFailure(t *testing.T) {
	t.Parallel()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	lost := []Event{
		failure(LostAll, 5, 20),
		{Kind: Publish, Job: "gone", Outcome: Started, At: at(6)}, {Kind: Publish, Job: "gone", Outcome: OK, At: at(6)},
		{Kind: Publish, Job: "a", Outcome: Started, At: at(1)}, {Kind: Publish, Job: "a", Outcome: OK, At: at(2)},
		{Kind: Deliver, Client: "w1", Job: "a", Lease: "5-0 1", At: at(3)},
		{Kind: Deliver, Client: "w2", Job: "a", Lease: "5-0 2", At: at(6)},
		{Kind: Complete, Client: "w2", Job: "a", Lease: "5-0 2", Start: at(7), At: at(7), Outcome: OK, Cursor: "8-0"},
		{Kind: Complete, Client: "w1", Job: "a", Lease: "5-0 1", Start: at(12), At: at(13), Outcome: OK, Cursor: "12-0"},
	}
	watch := func(cursor, status string, s int64) Event {
		return Event{Kind: WatchEvent, Client: "x", Job: "a", Cursor: cursor, Status: status, At: at(s)}
	}
	expired := func(cursor string, s int64) Event {
		return Event{Kind: CursorExpired, Client: "x", Job: "a", Cursor: cursor, At: at(s)}
	}
	stored := Stored{Events: map[string][]StoredEvent{"a": {{"4-0", "running"}, {"11-0", "running"}, {"12-0", "completed"}}}}
	for name, c := range map[string]struct {
		seen []Event
		want string // the broken invariant, "" for none
	}{
		"the watch ends before the failure":                               {[]Event{watch("4-0", "running", 4), watch("8-0", "completed", 7)}, ""},
		"the cursor expires, and the watch resumes at the first event":    {[]Event{watch("4-0", "running", 4), watch("7-0", "running", 7), expired("3-9", 11), watch("4-0", "running", 12), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, ""},
		"the cursor expires, and the watch resumes after the first event": {[]Event{watch("7-0", "running", 7), expired("4-0", 11), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, ""},
		"the cursor expires, and an event is missing afterwards":          {[]Event{watch("7-0", "running", 7), expired("3-9", 11), watch("4-0", "running", 12), watch("12-0", "completed", 13)}, "I4"},
		"the cursor does not expire":                                      {[]Event{watch("7-0", "running", 7), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, "I4"},
		"an event that was never stored":                                  {[]Event{watch("7-0", "running", 2)}, "I4"},
		"the cursor expires before the failure":                           {[]Event{watch("4-0", "running", 4), expired("3-9", 4)}, "I4"},
		"the watch ends without the result":                               {[]Event{watch("7-0", "running", 7), {Kind: WatchEnd, Client: "x", Job: "a", At: at(30)}}, "I4"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := Check(slices.Concat(lost, c.seen), stored, "")
			if r.LostTasks != 1 || r.LostResults != 1 || r.Completed != 2 || r.Duplicated != 0 {
				t.Errorf("%+v", r)
			}
			isFound := slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == c.want })
			if isFound != (c.want != "") || c.want == "" && len(r.Violations) > 0 {
				t.Errorf("want %q: %v", c.want, r.Violations)
			}
		})
	}
}

// Redis counts deliveries from one again after it loses a consumer group.
func TestCheckAcceptsOldLeasesAfterALossOfLeases(t *testing.T) {
	t.Parallel()
	events, stored := validHistory()
	events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, LeaseLost, "9-0"
	events = append(events, failure(LostLeases, 13, 14))
	if r := Check(events, stored, "mine"); len(r.Violations) != 0 {
		t.Error(r.Violations)
	}
}
