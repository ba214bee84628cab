package history

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Nodes records the nodes of a replicated Redis while a history was recorded. Their replication
// offsets show which writes failovers may have lost; their command counts show whether a node
// served clients after it was replaced as the master.
type Nodes struct {
	Samples map[string][]Sample    // by node, ordered by time
	Deaths  map[string][]time.Time // by node
	// Views are the masters that the sentinels named, one view per change; empty without
	// sentinels.
	Views []View
	// MayLose is what a failover may lose: LostAll, or LostUnconfirmed if the service waits for
	// replicas.
	MayLose string
}

// Sample is the state of a node, as INFO reports it.
type Sample struct {
	// RequestedAt is before the node replied: Offset includes every write acknowledged by then.
	RequestedAt time.Time
	RunID       string // changes with each start of the process
	Master      bool
	// ReplID is the replication stream that the node writes or follows. PreviousReplID is the one
	// it followed before its promotion.
	ReplID, PreviousReplID string
	// Offset is the node's position in ReplID, PreviousOffset its last one in PreviousReplID.
	Offset, PreviousOffset int64
	// Writes counts the write commands that the node ran. On a replica that includes those from
	// its master, so only the counts of a master are compared.
	Writes int
}

// View is the master that a sentinel names from a time on.
type View struct {
	At    time.Time
	Node  string
	Epoch int
}

// FailoverGrace is how long the old master may serve clients after the first sentinel names
// another one. The notification has to reach the clients, on a busy machine.
const FailoverGrace = 2 * time.Second

// Failover is the promotion of a replica.
type Failover struct {
	New, Old string // nodes
	// SeenAt is the time of the first sample after the promotion.
	SeenAt time.Time
	// ReplicatedAt is the time of the old master's last sample that the replica had fully
	// received. Writes acknowledged by then are not lost.
	ReplicatedAt time.Time
	// End is when the old master was killed, or when clients must have noticed its replacement.
	// Writes started later are not lost.
	End time.Time
	// Killed reports whether the old master was killed; otherwise it was replaced while running.
	Killed bool
}

// Failovers finds the failovers in the samples, ordered by time.
func (n Nodes) Failovers() (all []Failover) {
	for node, samples := range n.Samples {
		for i := 1; i < len(samples); i++ {
			before, s := samples[i-1], samples[i]
			if before.RunID == s.RunID && !before.Master && s.Master {
				all = append(all, n.failover(node, s))
			}
		}
	}
	slices.SortFunc(all, func(a, b Failover) int { return a.SeenAt.Compare(b.SeenAt) })
	return all
}

// failover describes the promotion of a node that was first sampled as s.
func (n Nodes) failover(node string, s Sample) Failover {
	f := Failover{New: node, SeenAt: s.RequestedAt}
	for old, samples := range n.Samples {
		for _, was := range samples {
			if was.Master && was.ReplID == s.PreviousReplID {
				f.Old = old
				if was.Offset <= s.PreviousOffset {
					f.ReplicatedAt = was.RequestedAt
				}
			}
		}
	}
	f.End = n.noticedAt(node, s.RequestedAt)
	for _, died := range n.Deaths[f.Old] {
		if died.After(f.ReplicatedAt) && died.Before(s.RequestedAt) {
			f.End, f.Killed = died, true
		}
	}
	return f
}

// noticedAt is when all clients must have noticed the promotion of a node.
func (n Nodes) noticedAt(node string, seen time.Time) time.Time {
	for _, v := range n.Views {
		if v.Node == node && v.At.After(seen.Add(-time.Second)) {
			return v.At.Add(FailoverGrace)
		}
	}
	return seen.Add(FailoverGrace)
}

// Failures returns the failovers as events of a history, and the violations of I8: promotions of
// a replica that had received nothing, and writes to a replaced master.
func (n Nodes) Failures() (events []Event, violations []Violation) {
	for _, f := range n.Failovers() {
		if f.ReplicatedAt.IsZero() {
			violations = append(violations, Violation{"I8", "", fmt.Sprintf("%s was promoted, but had received no sampled write of a master", f.New)})
			continue
		}
		events = append(events, Event{Kind: Failure, Client: "suite", Outcome: n.MayLose, Start: f.ReplicatedAt, At: f.End})
	}
	for node, samples := range n.Samples {
		violations = append(violations, n.staleWrites(node, samples)...)
	}
	return events, violations
}

// staleWrites finds writes to a node that is a master after the sentinels have named another one.
// A node that was started after that may run none; a node that kept running may run some until
// the end of FailoverGrace.
func (n Nodes) staleWrites(node string, samples []Sample) (violations []Violation) {
	var deadline time.Time // for writes; zero while the node is the rightful master or a replica
	writes := 0
	for i, s := range samples {
		master := n.masterAt(s.RequestedAt)
		restarted := i > 0 && samples[i-1].RunID != s.RunID
		switch {
		case !s.Master || master == "" || master == node:
			deadline = time.Time{}
			continue
		case restarted:
			deadline, writes = s.RequestedAt, 0
		case deadline.IsZero():
			deadline = s.RequestedAt.Add(FailoverGrace)
		}
		if s.RequestedAt.Before(deadline) {
			writes = s.Writes
			continue
		}
		if s.Writes > writes {
			violations = append(violations, Violation{"I8", "", fmt.Sprintf("%s ran %d write commands after %s had replaced it as the master", node, s.Writes-writes, master)})
			writes = s.Writes
		}
	}
	return violations
}

// masterAt is the master in the newest configuration of any sentinel at a time.
func (n Nodes) masterAt(at time.Time) (node string) {
	epoch := -1
	for _, v := range n.Views {
		if !v.At.After(at) && v.Epoch > epoch {
			node, epoch = v.Node, v.Epoch
		}
	}
	return node
}

// String lists the failovers, one per line.
func (n Nodes) String() string {
	var lines []string
	for _, f := range n.Failovers() {
		how := "was replaced while running"
		if f.Killed {
			how = "was killed"
		}
		lines = append(lines, fmt.Sprintf("%s replaced %s, which %s; writes acknowledged within %s may be lost",
			f.New, f.Old, how, f.End.Sub(f.ReplicatedAt).Round(time.Millisecond)))
	}
	return strings.Join(lines, "\n")
}
