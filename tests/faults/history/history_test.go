package history

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// good is a history in which everything is as promised: a worker was too slow, and
// another took over.
func good() ([]Event, Stored) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	events := []Event{
		{Kind: Publish, Job: "a", Outcome: Begun, At: at(1)}, {Kind: Publish, Job: "a", Outcome: OK, At: at(2), Canary: "mine"},
		{Kind: Deliver, Who: "w1", Job: "a", Lease: "5-0 1", At: at(3), Canary: "mine"},
		{Kind: Deliver, Who: "w2", Job: "a", Lease: "5-0 2", At: at(13)},
		{Kind: Complete, Who: "w1", Job: "a", Lease: "5-0 1", Began: at(14), At: at(15), Outcome: Lost},
		{Kind: Complete, Who: "w2", Job: "a", Lease: "5-0 2", Began: at(14), At: at(16), Outcome: OK, Cursor: "9-0"},
		{Kind: Complete, Who: "w2", Job: "a", Lease: "5-0 2", Began: at(17), At: at(18), Outcome: Already, Cursor: "9-0"},
		{Kind: Watch, Who: "x", Job: "a", Cursor: "7-0", Status: "running", At: at(10)}, {Kind: Watch, Who: "x", Job: "a", Cursor: "9-0", Status: "completed", At: at(16)},
		{Kind: Publish, Job: "b", Outcome: Begun, At: at(19)},
	}
	return events, Stored{Events: map[string][]StoredEvent{"a": {{"7-0", "running"}, {"9-0", "completed"}}}, Queued: map[string]bool{}}
}

// The checker passes what is right, and finds each thing that could be wrong.
func TestCheck(t *testing.T) {
	t.Parallel()
	events, stored := good()
	if r := Check(events, stored, "mine"); len(r.Violations) != 0 || r.Published != 1 || r.Delivered != 2 || r.Completed != 1 || r.Refused != 1 || r.Watched != 2 {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		invariant string
		change    func(events []Event, stored *Stored) []Event
	}{
		"a task is lost": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Publish, Job: "c", Outcome: OK})
		}},
		"a second result": {"I2", func(events []Event, stored *Stored) []Event {
			stored.Events["a"] = append(stored.Events["a"], StoredEvent{"10-0", "failed"})
			return events
		}},
		"a second worker is told OK": {"I2", func(events []Event, _ *Stored) []Event {
			events[6].Outcome = OK
			return events
		}},
		"a result that is not there": {"I2", func(events []Event, _ *Stored) []Event {
			events[5].Cursor = "8-0"
			return events
		}},
		"a superseded lease": {"I3", func(events []Event, _ *Stored) []Event {
			events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, Lost, "9-0"
			return events
		}},
		"a superseded lease, and leases that were forgotten before": {"I3", func(events []Event, _ *Stored) []Event {
			events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, Lost, "9-0"
			return append(events, failure(LostLeases, 10, 12))
		}},
		"a superseded entry": {"I3", func(events []Event, _ *Stored) []Event {
			events[3].Lease, events[5].Lease = "6-0 1", "5-0 9"
			return events
		}},
		"a watch misses an event":     {"I4", func(events []Event, _ *Stored) []Event { return slices.Delete(events, 7, 8) }},
		"a watch sees an event twice": {"I4", func(events []Event, _ *Stored) []Event { return slices.Insert(events, 7, events[7]) }},
		"a watch is out of order": {"I4", func(events []Event, _ *Stored) []Event {
			events[7], events[8] = events[8], events[7]
			return events
		}},
		"a watch misses what came between": {"I4", func(events []Event, stored *Stored) []Event {
			stored.Events["a"] = slices.Insert(stored.Events["a"], 1, StoredEvent{"8-0", "running"})
			return events
		}},
		"a watch waits on": {"I4", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Waits, Who: "y", Job: "a"})
		}},
		"another tenant's task": {"I5", func(events []Event, _ *Stored) []Event {
			events[2].Canary = "theirs"
			return events
		}},
		"a watch is told that its cursor is gone, and nothing is": {"I4", func(events []Event, _ *Stored) []Event {
			return slices.Insert(events, 8, Event{Kind: Expired, Who: "x", Job: "a", Cursor: "7-0", At: time.Unix(11, 0)})
		}},
		"a watch is left although there is a result": {"I4", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Waits, Who: "y", Job: "a", Outcome: Left, At: time.UnixMilli(9).Add(patience + 1)})
		}},
		"a task is lost that a failure can't have lost": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, failure(LostAll, 20, 30), Event{Kind: Publish, Job: "c", Outcome: OK, At: time.Unix(19, 0)})
		}},
		"a result is lost by a failure that loses tasks": {"I2", func(events []Event, _ *Stored) []Event {
			events[5].Cursor = "8-0"
			return append(events, failure(LostTasks, 0, 30))
		}},
		"a task is lost by a failure that loses none": {"I1", func(events []Event, _ *Stored) []Event {
			return append(events, failure(LostRest, 0, 30), Event{Kind: Publish, Job: "c", Outcome: OK, At: time.Unix(19, 0)})
		}},
		"a task from nowhere": {"I6", func(events []Event, _ *Stored) []Event {
			return append(events, Event{Kind: Deliver, Job: "ghost", Lease: "1-0 1"})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			events, stored := good()
			r := Check(c.change(events, &stored), stored, "mine")
			if !slices.ContainsFunc(r.Violations, func(v Violation) bool { return v.Invariant == c.invariant }) {
				t.Errorf("want %s: %v", c.invariant, r.Violations)
			}
		})
	}
}

// failure is one of which things may be lost.
func failure(lost string, from, to int64) Event {
	return Event{Kind: Failure, Outcome: lost, Began: time.Unix(from, 0), At: time.Unix(to, 0)}
}

// What a failure lost is counted, and watches must be told of it.
func TestCheckLost(t *testing.T) {
	t.Parallel()
	at := func(s int64) time.Time { return time.Unix(s, 0) }
	lost := []Event{
		failure(LostAll, 5, 20),
		{Kind: Publish, Job: "gone", Outcome: Begun, At: at(6)}, {Kind: Publish, Job: "gone", Outcome: OK, At: at(6)},
		{Kind: Publish, Job: "a", Outcome: Begun, At: at(1)}, {Kind: Publish, Job: "a", Outcome: OK, At: at(2)},
		{Kind: Deliver, Who: "w1", Job: "a", Lease: "5-0 1", At: at(3)},
		{Kind: Deliver, Who: "w2", Job: "a", Lease: "5-0 2", At: at(6)},
		{Kind: Complete, Who: "w2", Job: "a", Lease: "5-0 2", Began: at(7), At: at(7), Outcome: OK, Cursor: "8-0"},
		{Kind: Complete, Who: "w1", Job: "a", Lease: "5-0 1", Began: at(12), At: at(13), Outcome: OK, Cursor: "12-0"},
	}
	watch := func(cursor, status string, s int64) Event {
		return Event{Kind: Watch, Who: "x", Job: "a", Cursor: cursor, Status: status, At: at(s)}
	}
	expired := func(cursor string, s int64) Event {
		return Event{Kind: Expired, Who: "x", Job: "a", Cursor: cursor, At: at(s)}
	}
	stored := Stored{Events: map[string][]StoredEvent{"a": {{"4-0", "running"}, {"11-0", "running"}, {"12-0", "completed"}}}}
	for name, c := range map[string]struct {
		seen []Event
		want string // the invariant that is broken, "" for none
	}{
		"the watch is over before":   {[]Event{watch("4-0", "running", 4), watch("8-0", "completed", 7)}, ""},
		"told, from the first":       {[]Event{watch("4-0", "running", 4), watch("7-0", "running", 7), expired("3-9", 11), watch("4-0", "running", 12), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, ""},
		"told, after the first":      {[]Event{watch("7-0", "running", 7), expired("4-0", 11), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, ""},
		"told, and then a gap":       {[]Event{watch("7-0", "running", 7), expired("3-9", 11), watch("4-0", "running", 12), watch("12-0", "completed", 13)}, "I4"},
		"not told":                   {[]Event{watch("7-0", "running", 7), watch("11-0", "running", 12), watch("12-0", "completed", 13)}, "I4"},
		"an event that never was":    {[]Event{watch("7-0", "running", 2)}, "I4"},
		"told before anything broke": {[]Event{watch("4-0", "running", 4), expired("3-9", 4)}, "I4"},
		"silence":                    {[]Event{watch("7-0", "running", 7), {Kind: Waits, Who: "x", Job: "a", At: at(30)}}, "I4"},
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

// When a consumer group is destroyed, deliveries are counted from one again.
func TestCheckForgottenLeases(t *testing.T) {
	t.Parallel()
	events, stored := good()
	events[4].Outcome, events[5].Outcome, events[4].Cursor = OK, Lost, "9-0"
	events = append(events, failure(LostLeases, 13, 14))
	if r := Check(events, stored, "mine"); len(r.Violations) != 0 {
		t.Error(r.Violations)
	}
}

// Waiting knows which watches have no result.
func TestWaiting(t *testing.T) {
	t.Parallel()
	events := []Event{{Kind: Follow, Job: "done"}, {Kind: Follow, Job: "left"}, {Kind: Follow, Job: "waits"}, {Kind: Watch, Job: "waits", Status: "running"},
		{Kind: Watch, Job: "done", Status: "completed"}, {Kind: Waits, Job: "left", Outcome: Left}}
	if got := Waiting(events); !slices.Equal(got, []string{"waits"}) {
		t.Error(got)
	}
}

// A history survives its process being killed in the middle of a line.
func TestLog(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, who := range []string{"w1", "w2"} {
		log, err := Open(dir, who)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			log.Add(Event{Kind: Deliver, Who: who, Job: fmt.Sprint(who, i)})
		}
		if who == "w2" {
			_, _ = log.file.WriteString(`{"kind":"deliv`)
		}
	}
	events, err := Read(dir, "*")
	if err != nil || len(events) != 6 {
		t.Fatal(events, err)
	}
	for i := 1; i < len(events); i++ {
		if events[i].At.Before(events[i-1].At) || !strings.HasPrefix(events[i].Job, events[i].Who) {
			t.Error(events[i])
		}
	}
}
