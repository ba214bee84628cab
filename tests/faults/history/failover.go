package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Nodes is what was seen of the nodes of a replicated Redis while a history was recorded. It
// tells which writes failovers may have lost, by the replication offsets, and which nodes went
// on to serve clients after they were replaced.
type Nodes struct {
	Samples map[string][]Sample // by node, in the order of time
	Deaths  map[string][]time.Time
	// Views are what sentinels took for the master, each time that one changed its mind; empty
	// without sentinels.
	Views []View
	// Lost is what a failover may lose: LostAll, or LostRest when replicas are waited for.
	Lost string
}

// Sample is what a node said of itself.
type Sample struct {
	// Asked is before the node answered: a write that was acknowledged by then is in Offset.
	Asked  time.Time
	Run    string // the process
	Master bool
	// Stream is the replication stream that it writes or follows, Previous the one that it
	// followed until it was promoted.
	Stream, Previous string
	// Offset is how much it has of Stream, Kept how much it had of Previous.
	Offset, Kept int64
	// Served is how many commands that write it has carried out. Those of its clients and those
	// that it got from its master look alike, so only a master's are compared.
	Served int
}

// View is what a sentinel takes for the master from a time on.
type View struct {
	At    time.Time
	Node  string
	Epoch int
}

// Noticed is how long after the first sentinel names another master a client may still be
// answered by the old one: the sentinel's word has to reach it, on a busy machine.
const Noticed = 2 * time.Second

// Failover is the promotion of a replica.
type Failover struct {
	Node, Old string
	// Seen is when it was first sampled.
	Seen time.Time
	// Kept is when the last sample of the old master was taken that the replica had all of: what
	// was acknowledged by then is not lost.
	Kept time.Time
	// Over is when the old master was killed, or when no client should write to it any more: what
	// was begun later is not lost.
	Over time.Time
	// Killed is true when the old master was; else it was replaced alive.
	Killed bool
}

// Failovers are those that were seen, in the order of time.
func (n Nodes) Failovers() (all []Failover) {
	for node, samples := range n.Samples {
		for i := 1; i < len(samples); i++ {
			before, s := samples[i-1], samples[i]
			if before.Run == s.Run && !before.Master && s.Master {
				all = append(all, n.failover(node, s))
			}
		}
	}
	slices.SortFunc(all, func(a, b Failover) int { return a.Seen.Compare(b.Seen) })
	return all
}

func (n Nodes) failover(node string, s Sample) Failover {
	f := Failover{Node: node, Seen: s.Asked}
	for old, samples := range n.Samples {
		for _, was := range samples {
			if was.Master && was.Stream == s.Previous {
				f.Old = old
				if was.Offset <= s.Kept {
					f.Kept = was.Asked
				}
			}
		}
	}
	f.Over = n.replaced(node, s.Asked)
	for _, died := range n.Deaths[f.Old] {
		if died.After(f.Kept) && died.Before(s.Asked) {
			f.Over, f.Killed = died, true
		}
	}
	return f
}

// replaced is until when clients may not have noticed that a node was promoted.
func (n Nodes) replaced(node string, seen time.Time) time.Time {
	for _, v := range n.Views {
		if v.Node == node && v.At.After(seen.Add(-time.Second)) {
			return v.At.Add(Noticed)
		}
	}
	return seen.Add(Noticed)
}

// Failures are the failovers as events of a history, and what must not have been.
func (n Nodes) Failures() (events []Event, violations []Violation) {
	for _, f := range n.Failovers() {
		if f.Kept.IsZero() {
			violations = append(violations, Violation{"I8", "", fmt.Sprintf("%s was promoted, and had nothing of what a master was seen to have", f.Node)})
			continue
		}
		events = append(events, Event{Kind: Failure, Who: "suite", Outcome: n.Lost, Began: f.Kept, At: f.Over})
	}
	for node, samples := range n.Samples {
		violations = append(violations, n.usurped(node, samples)...)
	}
	return events, violations
}

// usurped finds when a node served clients as a master while the sentinels had named another
// one. If it was started after that, it may never; else until clients should have noticed.
func (n Nodes) usurped(node string, samples []Sample) (violations []Violation) {
	var until time.Time // when it is no longer excused; zero while it need not be
	served := 0
	for i, s := range samples {
		master := n.named(s.Asked)
		isStarted := i > 0 && samples[i-1].Run != s.Run
		switch {
		case !s.Master || master == "" || master == node:
			until = time.Time{}
			continue
		case isStarted:
			until, served = s.Asked, 0
		case until.IsZero():
			until = s.Asked.Add(Noticed)
		}
		if s.Asked.Before(until) {
			served = s.Served
			continue
		}
		if s.Served > served {
			violations = append(violations, Violation{"I8", "", fmt.Sprintf("%s carried out %d commands that write, after %s had replaced it as the master", node, s.Served-served, master)})
			served = s.Served
		}
	}
	return violations
}

// named is the master by the newest configuration that any sentinel had at a time.
func (n Nodes) named(at time.Time) (node string) {
	epoch := -1
	for _, v := range n.Views {
		if !v.At.After(at) && v.Epoch > epoch {
			node, epoch = v.Node, v.Epoch
		}
	}
	return node
}

// String lists the failovers.
func (n Nodes) String() string {
	var lines []string
	for _, f := range n.Failovers() {
		how := "was replaced alive"
		if f.Killed {
			how = "was killed"
		}
		lines = append(lines, fmt.Sprintf("%s took over from %s, which %s; what was acknowledged in %s may be lost",
			f.Node, f.Old, how, f.Over.Sub(f.Kept).Round(time.Millisecond)))
	}
	return strings.Join(lines, "\n")
}
