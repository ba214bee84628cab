package broker_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// settle brings the model to an entry that a group has settled.
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
	j := m.jobs[rapid.IntRange(0, len(m.jobs)-1).Draw(rt, "job")]
	if len(j.results) == 0 && !slices.ContainsFunc(j.entries, func(e *groupsEntry) bool {
		return e.place == "delayed" || e.place == "dead" || e.place == "queue" && m.isNeeded(e)
	}) {
		rt.Skip("it may be unknown")
	}
	isLeased := slices.ContainsFunc(j.entries, func(e *groupsEntry) bool {
		return slices.ContainsFunc(m.names, func(name string) bool { return e.of(name).place == "leased" })
	})
	c, err := m.broker.Cancel(m.ctx, j.name, "")
	must(rt, err)
	want := job.StatusPending
	switch {
	case len(j.results) > 0:
		want = job.Status(j.results[0])
	case isLeased:
		want = job.StatusRunning
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
	if len(j.results) > 0 {
		return
	}
	for _, e := range j.entries {
		if e.isDoomed = true; e.place == "delayed" || e.place == "queue" && e.id == "" && !m.isInQueue(e) {
			e.place = "gone"
		}
	}
	if !isLeased {
		j.ends("cancelled")
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
