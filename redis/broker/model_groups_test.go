package broker_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// TestModelOfGroups runs random histories of a queue with several consumer groups, which are created
// and destroyed, against a model of them.
//
// Each group receives each task until it settles it, and none that was cancelled; an entry is in
// the stream exactly while some group that counts has still to read or to settle it; a job has
// one result. At the end everything is drained, and then nothing is left.
func TestModelOfGroups(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(rt *rapid.T, s *modelStore) {
		if rapid.Bool().Draw(rt, "fair") {
			s.queue = job.QueueSettings{FairBy: job.FairByOrganization, FairMaxInFlight: rapid.IntRange(0, 1).Draw(rt, "limit")}
		}
		s.queue.Groups = job.Groups{job.AnyGroup}
		s.queue.UniqueJobs = rapid.Bool().Draw(rt, "unique")
		s.restart(rt)
		m := &groupsModel{modelStore: s, names: []string{"one", "two", job.DefaultGroup}[:rapid.IntRange(2, 3).Draw(rt, "groups")],
			groups: make(map[string]bool)}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish, "read": m.read, "complete": m.complete, "ack": m.ack, "raw": m.rawAck, "nack": m.nack, "crash": m.crash,
			"cancel": m.cancel, "redrive": m.redrive, "destroy": m.destroy, "delete": m.delete, "time": m.time, "clean": m.clean,
			"restart": m.restart, "": m.check,
		})
		m.drain(rt)
	})
}

// groupsJob is a job, which has one task at a time where jobs are unique, else one.
type groupsJob struct {
	name    string
	entries []*groupsEntry
	results []string // what its result may be; one when it was seen, none without
}

// groupsEntry is an entry of a task. A group that returns a task has a further entry of it.
type groupsEntry struct {
	job      *groupsJob
	task     string // its report id
	id       string // "" until it was seen in the stream
	only     string // the group that it is for, "" for all
	place    string // queue: the stream or the backlog; delayed, dead or gone
	attempts int    // of the entries before it
	failures int
	isDoomed bool // its job was cancelled after it was published
	// isLeftover: the last to need it was a group that was destroyed, or a raw worker, and it may
	// stay until the stream is cleaned up; or it was lost. In either case its job may seem active.
	isLeftover bool
	groups     map[string]*groupsLease
	letter     string // the id of its dead letter
}

// groupsLease is how far a group is with an entry.
type groupsLease struct {
	place string // leased, expired or settled
	count int
	lease queue.Delivery
}

// GoString is what a failed history shows of it.
func (e *groupsEntry) GoString() string {
	text := fmt.Sprintf("%s %s %s only %q", e.job.name, e.id, e.place, e.only)
	for _, name := range slices.Sorted(maps.Keys(e.groups)) {
		text += " " + name + " " + e.groups[name].place
	}
	return text
}

func (e *groupsEntry) of(group string) *groupsLease {
	if e.groups[group] == nil {
		e.groups[group] = &groupsLease{}
	}
	return e.groups[group]
}

type groupsModel struct {
	*modelStore
	names  []string
	groups map[string]bool // that are there, and whether a consumer is known to read with them
	jobs   []*groupsJob
	n      int // tasks so far
}

// counting are the groups that entries are kept for.
func (m *groupsModel) counting() (names []string) {
	isUsed := slices.Contains(slices.Collect(maps.Values(m.groups)), true)
	for name, hasRead := range m.groups {
		if hasRead || !isUsed || name != job.DefaultGroup {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// isFor reports whether a group is to work on an entry. An entry for a group that does not exist, or does
// not count, is for all groups.
func (m *groupsModel) isFor(e *groupsEntry, group string) bool {
	return e.only == "" || e.only == group || !slices.Contains(m.counting(), e.only)
}

// isNeeded is true of an entry in the stream that is to stay there.
func (m *groupsModel) isNeeded(e *groupsEntry) bool {
	return len(m.groups) == 0 || slices.ContainsFunc(m.counting(), func(name string) bool {
		return m.isFor(e, name) && e.of(name).place != "settled"
	})
}

func (m *groupsModel) entries(filter func(*groupsEntry) bool) (entries []*groupsEntry) {
	for _, j := range m.jobs {
		for _, e := range j.entries {
			if filter(e) {
				entries = append(entries, e)
			}
		}
	}
	return entries
}

// isActive is true of a job that has an unsettled task; mayBe when that can't be said.
func (m *groupsModel) isActive(j *groupsJob) (isActive, mayBe bool) {
	for _, e := range j.entries {
		switch {
		case e.place == "delayed", e.place == "queue" && !e.isDoomed && m.isNeeded(e):
			isActive = true
		case e.place == "queue" || e.isLeftover:
			mayBe = true
		}
	}
	return isActive, mayBe
}

// mayFollow checks the reply when a job was to have a further task.
func (m *groupsModel) mayFollow(rt *rapid.T, j *groupsJob, err error) bool {
	if !m.queue.UniqueJobs {
		must(rt, err)
		return true
	}
	isActive, mayBe := m.isActive(j)
	if errors.Is(err, job.ErrJobActive) && (isActive || mayBe) {
		return false
	}
	must(rt, err)
	if isActive {
		rt.Fatalf("%s has a further task beside %#v", j.name, j.entries)
	}
	return true
}

func (m *groupsModel) publish(rt *rapid.T) {
	j := &groupsJob{name: fmt.Sprint("job-", len(m.jobs))}
	if m.queue.UniqueJobs && len(m.jobs) > 0 && rapid.Bool().Draw(rt, "again") {
		j = m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(rt, "job")]
	}
	m.n++
	e := &groupsEntry{job: j, task: fmt.Sprintf("<task-%d>", m.n), place: "queue", groups: make(map[string]*groupsLease)}
	r := queue.PublishRequest{Task: job.Task{JobID: j.name, ReportID: e.task}}
	if rapid.Bool().Draw(rt, "delayed") {
		r.Delay, e.place = time.Hour, "delayed"
	}
	p, _, err := m.broker.Publish(m.ctx, r)
	if !m.mayFollow(rt, j, err) {
		return
	}
	if e.id = p.EntryID; len(j.entries) == 0 {
		m.jobs = append(m.jobs, j)
	}
	j.entries = append(j.entries, e)
}

// ends gives a job one of some results, if it has none.
func (j *groupsJob) ends(results ...string) {
	if len(j.results) == 0 {
		j.results = results
	}
}

// isPoison is true of an entry that is not delivered to its group again.
func (m *groupsModel) isPoison(e *groupsEntry, g *groupsLease) bool {
	return e.attempts+g.count-e.failures >= modelCrashes
}
