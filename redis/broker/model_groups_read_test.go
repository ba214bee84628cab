package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

func (m *groupsModel) read(rt *rapid.T) {
	m.reads(rt, draw(rt, "group", m.names...), rapid.IntRange(1, 5).Draw(rt, "max"))
}

// reads reads with a group, which is created if it is not there, and reports whether it got any.
func (m *groupsModel) reads(rt *rapid.T, group string, most int) bool {
	deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: most})
	must(rt, err)
	last, pending := m.look(rt)
	for _, d := range deliveries {
		m.took(rt, group, d)
	}
	m.undelivered(rt, group, last[group], pending)
	return len(deliveries) > 0
}

// look finds the groups that exist, and the ids of new entries. It returns what each group was
// delivered last, and what is pending in the groups: "<group> <id>".
func (m *groupsModel) look(*rapid.T) (last map[string]string, pending map[string]bool) {
	last, pending = make(map[string]string), make(map[string]bool)
	key := m.key(job.DefaultQueue)
	for _, g := range m.raw.XInfoGroups(m.ctx, key).Val() {
		m.groups[g.Name] = g.Consumers > 0
		last[g.Name] = g.LastDeliveredID
		for _, p := range m.raw.XPendingExt(m.ctx, pendingOf(key, g.Name)).Val() {
			pending[g.Name+" "+p.ID] = true
		}
	}
	known := make(map[string]bool)
	for _, e := range m.entries(func(*groupsEntry) bool { return true }) {
		known[e.id] = true
	}
	for _, x := range m.stream(m.t, job.DefaultQueue) {
		fields := values(x)
		for _, e := range m.entries(func(e *groupsEntry) bool { return e.id == "" && e.place == "queue" && !known[x.ID] }) {
			if e.task == fields["report_id"] && e.only == fields["argus_for_group"] {
				e.id, known[x.ID] = x.ID, true
				break
			}
		}
	}
	return last, pending
}

// took leases what a group received.
func (m *groupsModel) took(rt *rapid.T, group string, d queue.Delivery) {
	found := m.entries(func(e *groupsEntry) bool { return e.id == d.Lease.EntryID && e.place == "queue" })
	if len(found) != 1 {
		rt.Fatalf("%d entries are %+v", len(found), d)
	}
	e := found[0]
	g := e.of(group)
	if e.isDoomed || !m.isFor(e, group) || g.place != "" && g.place != "expired" || m.isPoison(e, g) {
		rt.Fatalf("%s received %#v, cancelled: %t, poison: %t", group, e, e.isDoomed, m.isPoison(e, g))
	}
	if g.count++; d.Attempt != e.attempts+g.count || d.Failures != e.failures {
		rt.Fatalf("attempt %d with %d failures, want %d and %d", d.Attempt, d.Failures, e.attempts+g.count, e.failures)
	}
	g.place, g.lease = "leased", d
}

// undelivered settles entries that a group has read and did not deliver.
func (m *groupsModel) undelivered(rt *rapid.T, group, last string, pending map[string]bool) {
	results := make(map[*groupsJob][]string)
	for _, e := range m.entries(func(e *groupsEntry) bool { return e.place == "queue" }) {
		g := e.of(group)
		isRead := e.id == "" && !m.isInQueue(e) || e.id != "" && !idLess(last, e.id) && !pending[group+" "+e.id]
		switch {
		case !isRead || g.place == "leased" || g.place == "settled":
			continue
		case !m.isFor(e, group):
			m.settle(e, group)
		case e.isDoomed:
			results[e.job] = append(results[e.job], "cancelled")
			m.settle(e, group)
		case m.isPoison(e, g):
			results[e.job] = append(results[e.job], "failed")
			m.dies(e, group)
		default:
			rt.Fatalf("%s passed over %#v", group, e)
		}
	}
	for j, some := range results {
		j.ends(some...)
	}
}

// idLess is true when an entry's id is before another.
func idLess(a, b string) bool {
	parse := func(id string) (ms, n int) {
		first, second, _ := strings.Cut(id, "-")
		ms, _ = strconv.Atoi(first)
		n, _ = strconv.Atoi(second)
		return ms, n
	}
	ams, an := parse(a)
	bms, bn := parse(b)
	return ams < bms || ams == bms && an < bn
}

// isInQueue is true of an entry that lies in the backlog, from where it may go to the stream
// meanwhile, or in the stream.
func (m *groupsModel) isInQueue(e *groupsEntry) bool {
	for _, member := range m.raw.ZRange(m.ctx, m.key("argus_fair:"+job.DefaultQueue), 0, -1).Val() {
		only := fmt.Sprintf("argus_for_group%d:%s", len(e.only), e.only)
		if strings.Contains(member, e.task) && strings.Contains(member, "argus_for_group") == (e.only != "") && (e.only == "" || strings.Contains(member, only)) {
			return true
		}
	}
	return slices.ContainsFunc(m.stream(m.t, job.DefaultQueue), func(x goredis.XMessage) bool {
		fields := values(x)
		return x.ID == e.id || e.id == "" && fields["report_id"] == e.task && fields["argus_for_group"] == e.only
	})
}

// check compares what is in Redis with the model.
func (m *groupsModel) check(rt *rapid.T) {
	m.look(rt)
	there := make(map[string]bool)
	for _, x := range m.stream(m.t, job.DefaultQueue) {
		there[x.ID] = true
	}
	for _, e := range m.entries(func(e *groupsEntry) bool { return e.id != "" }) {
		switch isNeeded := e.place == "queue" && m.isNeeded(e); {
		case isNeeded && !there[e.id]:
			rt.Fatalf("%#v was removed, groups %v", e, m.groups)
		case !isNeeded && there[e.id] && !e.isLeftover:
			rt.Fatalf("%#v was left, groups %v", e, m.groups)
		case !there[e.id]:
			e.place = "gone"
		}
	}
	for _, j := range m.jobs {
		var got []string
		for _, event := range m.stream(m.t, "argus_completion:"+j.name) {
			got = append(got, values(event)["status"])
		}
		if len(got) != min(1, len(j.results)) || len(got) == 1 && !slices.Contains(j.results, got[0]) {
			rt.Fatalf("%s has the results %v, want one of %v", j.name, got, j.results)
		}
		j.results = got
	}
}

// drainRounds is how often all groups read at most until they have nothing left to do.
const drainRounds = 200

// drain has all groups settle everything.
func (m *groupsModel) drain(rt *rapid.T) {
	m.restart(rt)
	for isBusy, rounds := true, 0; isBusy; rounds++ {
		if rounds == drainRounds {
			rt.Fatalf("not drained by %v: %#v", m.groups, m.entries(func(e *groupsEntry) bool { return e.place == "queue" }))
		}
		must(rt, m.broker.MoveDue(m.ctx))
		m.time(rt)
		readers := m.counting()
		if len(readers) == 0 {
			readers = m.names[:1]
		}
		for _, name := range readers {
			for _, e := range m.entries(func(e *groupsEntry) bool { return slices.Contains([]string{"leased", "expired"}, e.of(name).place) }) {
				m.completes(rt, e, name, job.StatusCompleted)
				m.check(rt)
			}
			m.reads(rt, name, job.MaxBatch)
			m.check(rt)
		}
		isBusy = slices.ContainsFunc(m.entries(func(e *groupsEntry) bool { return e.place == "queue" }), func(e *groupsEntry) bool { return m.isNeeded(e) })
	}
	must(rt, m.broker.Clean(m.ctx))
	key := m.key(job.DefaultQueue)
	if n := m.raw.XLen(m.ctx, key).Val(); n > 0 {
		rt.Fatal(n, "entries are left")
	}
	for name := range m.groups {
		if p := m.raw.XPending(m.ctx, key, name).Val(); p.Count > 0 {
			rt.Fatal("leases are left:", name, p)
		}
	}
	for _, j := range m.jobs {
		isLeftover := slices.ContainsFunc(j.entries, func(e *groupsEntry) bool { return e.isLeftover })
		if len(m.keys("argus_active:"+j.name)) > 0 && !isLeftover {
			rt.Fatalf("the mark of %s is left", j.name)
		}
	}
	await(m.t, m.ctx, func() bool {
		must(rt, m.broker.MoveDue(m.ctx))
		return len(m.keys("argus_fair*")) == 0
	})
}
