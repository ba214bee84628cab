package broker_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

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

// ends gives a job one of some results, if it has none.
func (j *groupsJob) ends(results ...string) {
	if len(j.results) == 0 {
		j.results = results
	}
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

// settle is what becomes of an entry that a group has settled.
func (m *groupsModel) settle(e *groupsEntry, group string) {
	if e.of(group).place = "settled"; !m.isNeeded(e) {
		e.place = "gone"
	}
}

// dies makes a dead letter of a group's task.
func (m *groupsModel) dies(e *groupsEntry, group string) {
	letters := m.stream(m.t, "argus_dead:"+job.DefaultQueue)
	dead := &groupsEntry{job: e.job, task: e.task, place: "dead", only: m.nextOnly(e, group), isDoomed: e.isDoomed, groups: make(map[string]*groupsLease)}
	for _, l := range letters {
		if fields := values(l); fields["argus_source_id"] == e.id && fields["argus_group"] == group {
			dead.letter = l.ID
		}
	}
	e.job.entries = append(e.job.entries, dead)
	m.settle(e, group)
}

// nextOnly is the group that the next entry of a group's task is for.
func (m *groupsModel) nextOnly(e *groupsEntry, group string) string {
	if e.only != "" || len(m.counting()) > 1 {
		return group
	}
	return ""
}

// pick draws an entry that a group holds.
func (m *groupsModel) pick(rt *rapid.T, places ...string) (*groupsEntry, string) {
	type held struct {
		*groupsEntry
		group string
	}
	var all []held
	for _, name := range m.names {
		for _, e := range m.entries(func(e *groupsEntry) bool { return slices.Contains(places, e.of(name).place) }) {
			all = append(all, held{e, name})
		}
	}
	if len(all) == 0 {
		rt.Skip("there is no such entry in this history yet")
	}
	one := all[rapid.IntRange(0, len(all)-1).Draw(rt, "entry")]
	return one.groupsEntry, one.group
}

func (m *groupsModel) complete(rt *rapid.T) {
	e, group := m.pick(rt, "leased", "expired")
	m.completes(rt, e, group, draw(rt, "status", job.StatusCompleted, job.StatusFailed))
}

func (m *groupsModel) completes(rt *rapid.T, e *groupsEntry, group string, status job.Status) {
	r, err := m.broker.Complete(m.ctx, e.of(group).lease.Lease.Token(), job.Result{Status: status})
	must(rt, err)
	if r.Already != (len(e.job.results) > 0) {
		rt.Fatalf("%+v, but its result was %v", r, e.job.results)
	}
	e.job.ends(string(status))
	m.settle(e, group)
}

func (m *groupsModel) ack(rt *rapid.T) {
	e, group := m.pick(rt, "leased", "expired")
	r, err := m.broker.Ack(m.ctx, []string{e.of(group).lease.Lease.Token()})
	must(rt, err)
	if r[0].Outcome != queue.Acked {
		rt.Fatal(r)
	}
	m.settle(e, group)
}

// rawAck is a raw worker's: it acknowledges, and deletes nothing.
func (m *groupsModel) rawAck(rt *rapid.T) {
	e, group := m.pick(rt, "leased", "expired")
	if n := m.raw.XAck(m.ctx, m.key(job.DefaultQueue), group, e.id).Val(); n != 1 {
		rt.Fatalf("%s did not hold %#v", group, e)
	}
	e.of(group).place = "settled"
	e.isLeftover = e.isLeftover || !m.isNeeded(e)
}

func (m *groupsModel) nack(rt *rapid.T) {
	e, group := m.pick(rt, "leased", "expired")
	g := e.of(group)
	r := queue.NackRequest{Token: g.lease.Lease.Token()}
	next := &groupsEntry{job: e.job, task: e.task, only: m.nextOnly(e, group), place: "queue", attempts: e.attempts + g.count, failures: e.failures + 1, groups: make(map[string]*groupsLease)}
	switch draw(rt, "how", "now", "later", "dead") {
	case "now":
		r.Delay = new(time.Duration)
	case "later":
		r.Delay, next.place = new(time.Hour), "delayed"
	case "dead":
		r.DeadLetter = true
	}
	n, err := m.broker.Nack(m.ctx, r)
	must(rt, err)
	want := queue.NackRetry
	switch {
	case e.isDoomed:
		want = queue.NackCancelled
		e.job.ends("cancelled")
		m.settle(e, group)
	case r.DeadLetter || next.failures >= modelAttempts:
		want = queue.NackDead
		m.dies(e, group)
		e.job.ends("failed")
	default:
		m.settle(e, group)
		e.job.entries = append(e.job.entries, next)
	}
	if n.Outcome != want {
		rt.Fatalf("%s, want %s", n.Outcome, want)
	}
}

func (m *groupsModel) crash(rt *rapid.T) {
	e, group := m.pick(rt, "leased")
	m.expire(m.t, e.of(group).lease.Lease)
	e.of(group).place = "expired"
}

func (m *groupsModel) cancel(rt *rapid.T) {
	if len(m.jobs) == 0 {
		rt.Skip("there is no job in this history yet")
	}
	jobID := m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(rt, "job")]
	if len(jobID.results) == 0 && !slices.ContainsFunc(jobID.entries, func(e *groupsEntry) bool {
		return e.place == "delayed" || e.place == "dead" || e.place == "queue" && m.isNeeded(e)
	}) {
		rt.Skip("it may be unknown")
	}
	isLeased := slices.ContainsFunc(jobID.entries, func(e *groupsEntry) bool {
		return slices.ContainsFunc(m.names, func(name string) bool { return e.of(name).place == "leased" })
	})
	c, err := m.broker.Cancel(m.ctx, jobID.name, "")
	must(rt, err)
	want := job.StatusPending
	switch {
	case len(jobID.results) > 0:
		want = job.Status(jobID.results[0])
	case isLeased:
		want = job.StatusRunning
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
	if len(jobID.results) > 0 {
		return
	}
	for _, e := range jobID.entries {
		if e.isDoomed = true; e.place == "delayed" || e.place == "queue" && e.id == "" && !m.isInQueue(e) {
			e.place = "gone"
		}
	}
	if !isLeased {
		jobID.ends("cancelled")
	}
}

func (m *groupsModel) redrive(rt *rapid.T) {
	letters := m.entries(func(e *groupsEntry) bool { return e.place == "dead" })
	if len(letters) == 0 {
		rt.Skip("there is no dead letter in this history yet")
	}
	e := draw(rt, "letter", letters...)
	letter := m.raw.XRange(m.ctx, m.key("argus_dead:"+job.DefaultQueue), e.letter, e.letter).Val()
	n, err := m.broker.Redrive(m.ctx, "", false, []string{e.letter})
	if !m.mayFollow(rt, e.job, err) {
		return
	}
	if n != 1 || len(letter) != 1 {
		rt.Fatal(n, letter)
	}
	if e.place = "queue"; values(letter[0])["argus_result"] != "" {
		e.job.results = nil
	}
}

// destroy removes a group, with what it held.
func (m *groupsModel) destroy(rt *rapid.T) {
	name := draw(rt, "group", m.names...)
	if n := m.raw.XGroupDestroy(m.ctx, m.key(job.DefaultQueue), name).Val(); n == 0 {
		rt.Skip("there is no such group")
	}
	delete(m.groups, name)
	for _, e := range m.entries(func(*groupsEntry) bool { return true }) {
		delete(e.groups, name)
		e.isLeftover = e.isLeftover || e.place == "queue" && !m.isNeeded(e)
	}
}

// delete deletes the stream, with all that waits in it or is leased, and the groups.
func (m *groupsModel) delete(*rapid.T) {
	m.tick() // the ids of what follows are others
	m.raw.Del(m.ctx, m.key(job.DefaultQueue))
	clear(m.groups)
	for _, e := range m.entries(func(*groupsEntry) bool { return true }) {
		clear(e.groups)
		if e.place == "queue" && !m.isInQueue(e) {
			e.place, e.isLeftover = "gone", true
		}
	}
}

func (m *groupsModel) time(*rapid.T) {
	m.travel(m.t)
	for _, e := range m.entries(func(e *groupsEntry) bool { return e.place == "delayed" }) {
		e.place = "queue"
	}
}

func (m *groupsModel) clean(rt *rapid.T) { must(rt, m.broker.Clean(m.ctx)) }

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
	for _, jobID := range m.jobs {
		var got []string
		for _, event := range m.stream(m.t, "argus_completion:"+jobID.name) {
			got = append(got, values(event)["status"])
		}
		if len(got) != min(1, len(jobID.results)) || len(got) == 1 && !slices.Contains(jobID.results, got[0]) {
			rt.Fatalf("%s has the results %v, want one of %v", jobID.name, got, jobID.results)
		}
		jobID.results = got
	}
}

// drainRounds is how often all groups read until they have nothing left to do.
const drainRounds = 200

// drain has all groups work everything off.
func (m *groupsModel) drain(rt *rapid.T) {
	m.restart(rt)
	for isBusy, rounds := true, 0; isBusy; rounds++ {
		if rounds == drainRounds {
			rt.Fatalf("not worked off by %v: %#v", m.groups, m.entries(func(e *groupsEntry) bool { return e.place == "queue" }))
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
	for _, id := range m.jobs {
		isLeftover := slices.ContainsFunc(id.entries, func(e *groupsEntry) bool { return e.isLeftover })
		if len(m.keys("argus_active:"+id.name)) > 0 && !isLeftover {
			rt.Fatalf("the mark of %s is left", id.name)
		}
	}
	await(m.t, m.ctx, func() bool {
		must(rt, m.broker.MoveDue(m.ctx))
		return len(m.keys("argus_fair*")) == 0
	})
}
