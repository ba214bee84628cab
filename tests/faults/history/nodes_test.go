package history

import (
	"fmt"
	"testing"
	"time"
)

func at(seconds float64) time.Time { return time.UnixMilli(int64(1000 * seconds)) }

// sampledFailover has samples of an old master and of a replica, one per second from second 1. The
// replica is promoted before second 4.
func sampledFailover() Nodes {
	n := Nodes{Samples: make(map[string][]Sample), Deaths: make(map[string][]time.Time), MayLose: LostAll}
	for i, offset := range []int64{100, 200, 300} {
		n.Samples["old"] = append(n.Samples["old"], Sample{RequestedAt: at(float64(i + 1)), RunID: "o", Master: true, ReplID: "one", Offset: offset, Writes: int(offset)})
		n.Samples["new"] = append(n.Samples["new"], Sample{RequestedAt: at(float64(i + 1)), RunID: "n", ReplID: "one", Offset: offset - 50})
	}
	n.Samples["new"] = append(n.Samples["new"], Sample{RequestedAt: at(4), RunID: "n", Master: true, ReplID: "two", PreviousReplID: "one", Offset: 260, PreviousOffset: 250})
	n.Views = []View{{at(1), "old", 0}, {at(4.5), "new", 1}, {at(4.6), "new", 1}}
	return n
}

func TestFailoverOfAKilledMasterMayLoseUnreplicatedWrites(t *testing.T) {
	t.Parallel()
	n := sampledFailover()
	n.Deaths["old"] = []time.Time{at(3.1)}
	failures, violations := n.Failures()
	if len(violations) != 0 || len(failures) != 1 {
		t.Fatal(failures, violations)
	}
	for name, c := range map[string]struct {
		e    Event
		want int // violations
	}{
		"acknowledged before the last replicated sample": {Event{Start: at(1.5), At: at(1.9)}, 1},
		"acknowledged after it, before the kill":         {Event{Start: at(1.5), At: at(2.5)}, 0},
		"started before the kill, acknowledged later":    {Event{Start: at(3), At: at(3.2)}, 0},
		"started after the kill":                         {Event{Start: at(3.2), At: at(3.5)}, 1},
	} {
		c.e.Kind, c.e.Job, c.e.Outcome = Publish, "job", OK
		if r := Check(append([]Event{c.e}, failures...), Stored{}, ""); len(r.Violations) != c.want || r.LostTasks != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		result := Event{Kind: Complete, Job: "job", Outcome: OK, At: c.e.At, Cursor: fmt.Sprint(c.e.Start.UnixMilli(), "-0")}
		if r := Check(append([]Event{result}, failures...), Stored{}, ""); len(r.Violations) != c.want || r.LostResults != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestFailoverOfARunningMasterEndsWhenClientsMustHaveNoticed(t *testing.T) {
	t.Parallel()
	n := sampledFailover()
	f := n.Failovers()
	if len(f) != 1 || f[0].Killed || !f[0].ReplicatedAt.Equal(at(2)) || !f[0].End.Equal(at(4.5).Add(FailoverGrace)) || f[0].Old != "old" || f[0].New != "new" {
		t.Error(f)
	}
	n.Samples["old"] = nil
	if _, violations := n.Failures(); len(violations) != 1 {
		t.Error("a promoted replica without a sampled master:", violations)
	}
}

func TestReplacedMasterMustNotRunWrites(t *testing.T) {
	t.Parallel()
	sample := func(s float64, run string, writes int) Sample {
		return Sample{RequestedAt: at(s), RunID: run, Master: true, ReplID: "one", Offset: 300, Writes: writes}
	}
	for name, c := range map[string]struct {
		after []Sample
		want  int
	}{
		"writes until clients noticed":  {[]Sample{sample(4.6, "o", 310), sample(6, "o", 320), sample(7, "o", 320)}, 0},
		"writes after the grace period": {[]Sample{sample(4.6, "o", 310), sample(6, "o", 320), sample(7, "o", 321)}, 1},
		"restarted without writes":      {[]Sample{sample(4.6, "o2", 0), sample(5, "o2", 0)}, 0},
		"restarted, and writes":         {[]Sample{sample(4.6, "o2", 0), sample(5, "o2", 3)}, 1},
		"writes before it was replaced": {[]Sample{sample(4.4, "o", 500)}, 0},
	} {
		n := sampledFailover()
		n.Samples["old"] = append(n.Samples["old"], c.after...)
		if _, violations := n.Failures(); len(violations) != c.want {
			t.Errorf("%s: %v", name, violations)
		}
	}
}
