package history

import (
	"fmt"
	"testing"
	"time"
)

func at(seconds float64) time.Time { return time.UnixMilli(int64(1000 * seconds)) }

// nodesOf has samples, one a second from the first second on, of an old master and of a
// replica that is promoted in the fourth.
func nodesOf() Nodes {
	n := Nodes{Samples: make(map[string][]Sample), Deaths: make(map[string][]time.Time), Lost: LostAll}
	for i, offset := range []int64{100, 200, 300} {
		n.Samples["old"] = append(n.Samples["old"], Sample{Asked: at(float64(i + 1)), Run: "o", Master: true, Stream: "one", Offset: offset, Served: int(offset)})
		n.Samples["new"] = append(n.Samples["new"], Sample{Asked: at(float64(i + 1)), Run: "n", Stream: "one", Offset: offset - 50})
	}
	n.Samples["new"] = append(n.Samples["new"], Sample{Asked: at(4), Run: "n", Master: true, Stream: "two", Previous: "one", Offset: 260, Kept: 250})
	n.Views = []View{{at(1), "old", 0}, {at(4.5), "new", 1}, {at(4.6), "new", 1}}
	return n
}

// What a failover may lose is what the offsets say was not replicated, until the old master was
// dead.
func TestFailoverOfDead(t *testing.T) {
	t.Parallel()
	n := nodesOf()
	n.Deaths["old"] = []time.Time{at(3.1)}
	failures, violations := n.Failures()
	if len(violations) != 0 || len(failures) != 1 {
		t.Fatal(failures, violations)
	}
	for name, c := range map[string]struct {
		e    Event
		want int // violations
	}{
		"acknowledged before the last sample that was replicated": {Event{Began: at(1.5), At: at(1.9)}, 1},
		"acknowledged after it, before the death":                 {Event{Began: at(1.5), At: at(2.5)}, 0},
		"begun before the death, acknowledged later":              {Event{Began: at(3), At: at(3.2)}, 0},
		"begun after the death":                                   {Event{Began: at(3.2), At: at(3.5)}, 1},
	} {
		c.e.Kind, c.e.Job, c.e.Outcome = Publish, "job", OK
		if r := Check(append([]Event{c.e}, failures...), Stored{}, ""); len(r.Violations) != c.want || r.LostTasks != 1 {
			t.Errorf("%s: %+v", name, r)
		}
		result := Event{Kind: Complete, Job: "job", Outcome: OK, At: c.e.At, Cursor: fmt.Sprint(c.e.Began.UnixMilli(), "-0")}
		if r := Check(append([]Event{result}, failures...), Stored{}, ""); len(r.Violations) != c.want || r.LostResults != 1 {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// A master that is replaced while it is alive may lose what it acknowledges until clients should
// have noticed.
func TestFailoverOfAlive(t *testing.T) {
	t.Parallel()
	n := nodesOf()
	f := n.Failovers()
	if len(f) != 1 || f[0].Killed || !f[0].Kept.Equal(at(2)) || !f[0].Over.Equal(at(4.5).Add(Noticed)) || f[0].Old != "old" || f[0].Node != "new" {
		t.Error(f)
	}
	n.Samples["old"] = nil
	if _, violations := n.Failures(); len(violations) != 1 {
		t.Error("a replica of nothing that was sampled:", violations)
	}
}

// A node that was replaced must not serve clients: never when it was started after that, and
// not for long when it was there.
func TestUsurper(t *testing.T) {
	t.Parallel()
	sample := func(s float64, run string, served int) Sample {
		return Sample{Asked: at(s), Run: run, Master: true, Stream: "one", Offset: 300, Served: served}
	}
	for name, c := range map[string]struct {
		after []Sample
		want  int
	}{
		"it served until clients noticed":  {[]Sample{sample(4.6, "o", 310), sample(6, "o", 320), sample(7, "o", 320)}, 0},
		"it served on":                     {[]Sample{sample(4.6, "o", 310), sample(6, "o", 320), sample(7, "o", 321)}, 1},
		"it was started again":             {[]Sample{sample(4.6, "o2", 0), sample(5, "o2", 0)}, 0},
		"it was started again, and served": {[]Sample{sample(4.6, "o2", 0), sample(5, "o2", 3)}, 1},
		"it served before it was replaced": {[]Sample{sample(4.4, "o", 500)}, 0},
	} {
		n := nodesOf()
		n.Samples["old"] = append(n.Samples["old"], c.after...)
		if _, violations := n.Failures(); len(violations) != c.want {
			t.Errorf("%s: %v", name, violations)
		}
	}
}
