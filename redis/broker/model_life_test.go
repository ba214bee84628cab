package broker_test

import (
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

func (m *model) nack(rt *rapid.T) {
	task := m.pick(rt, "leased", "expired")
	r := queue.NackRequest{Token: task.lease.Lease.Token()}
	switch draw(rt, "how", "now", "later", "back-off", "dead", "release") {
	case "now":
		r.Delay = new(time.Duration(0))
	case "later":
		r.Delay = new(time.Hour)
	case "dead":
		r.DeadLetter = true
	case "release":
		r.Release = true
	}
	n, err := m.broker.Nack(m.ctx, r)
	must(rt, err)
	want := queue.NackRetry
	if !r.Release && !r.DeadLetter && !task.isDoomed {
		task.failures++
	}
	switch {
	case r.Release:
		task.leaves("waiting")
	case task.isDoomed:
		want = queue.NackCancelled
		m.end(task, "gone", "cancelled")
	case r.DeadLetter || task.failures >= modelAttempts:
		want = queue.NackDead
		m.end(task, "dead", "failed")
	case n.Delay > 0:
		task.leaves("delayed")
	default:
		task.leaves("waiting")
	}
	if n.Outcome != want {
		rt.Fatalf("%s, want %s", n.Outcome, want)
	}
}

func (m *model) ack(rt *rapid.T) {
	task := m.pick(rt, "leased")
	if task.isDoomed {
		rt.Skip("its worker would have to report, not to acknowledge")
	}
	r, err := m.broker.Ack(m.ctx, []string{task.lease.Lease.Token()})
	must(rt, err)
	if r[0].Outcome != queue.Acked {
		rt.Fatal(r)
	}
	task.leaves("gone")
}

func (m *model) extend(rt *rapid.T) {
	task := m.pick(rt, "leased", "expired")
	x, err := m.broker.Extend(m.ctx, task.lease.Lease.Token(), map[string]string{"progress": "1"})
	must(rt, err)
	if !x.Cancelled && task.isDoomed {
		rt.Fatal("Extend did not report the cancellation")
	}
	task.place = "leased" // if it was expired, it came back in time
}

// crash lets a lease expire.
func (m *model) crash(rt *rapid.T) {
	task := m.pick(rt, "leased")
	m.expire(m.t, task.lease.Lease)
	task.place = "expired"
}

func (m *model) cancel(rt *rapid.T) {
	j := m.pickJob(rt)
	if j.result() == nil && !slices.ContainsFunc(j.tasks, func(t *modelTask) bool { return t.isLive() || t.is("dead") }) {
		rt.Skip("it may be unknown")
	}
	c, err := m.broker.Cancel(m.ctx, j.name, "")
	must(rt, err)
	want := job.StatusPending
	switch isLeased := func(t *modelTask) bool { return t.is("leased") }; {
	case j.result() != nil:
		want = j.status()
	case slices.ContainsFunc(j.tasks, isLeased):
		want = job.StatusRunning
		m.doom(j)
	default:
		m.doom(j)
		m.event(j, "cancelled")
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
}

// doom marks the tasks of a cancelled job. Some are dropped at once.
func (m *model) doom(j *modelJob) {
	for _, task := range j.tasks {
		if task.isDoomed = true; task.is("waiting", "delayed") && m.find(task.id) == "" {
			task.place = "gone"
		}
	}
}

// purge drops all tasks that no worker has.
func (m *model) purge(rt *rapid.T) {
	p, err := m.broker.Purge(m.ctx, "")
	must(rt, err)
	dropped, leased := 0, 0
	for _, task := range m.tasks {
		switch {
		case task.is("leased"):
			leased++
		case task.isLive():
			m.end(task, "gone", "cancelled")
			dropped++
		}
	}
	if int(p.Leased) != leased || int(p.Waiting+p.Delayed) != dropped {
		rt.Fatalf("%+v, want %d dropped and %d leased", p, dropped, leased)
	}
}

// delete deletes the queue's stream, with all that waits in it or is leased.
func (m *model) delete(rt *rapid.T) {
	m.pick(rt, "waiting", "leased", "expired")
	m.tick() // the ids of what follows are others
	must(rt, m.bundle.raw.Del(m.ctx, m.key(job.DefaultQueue)).Err())
	for _, task := range m.tasks {
		if task.is("waiting", "leased", "expired") && m.find(task.id) == "" {
			task.leaves("lost")
		}
	}
}

// time makes all that is delayed due.
func (m *model) time(*rapid.T) {
	m.travel(m.t)
	for _, task := range m.tasks {
		if task.is("delayed") {
			task.place = "waiting"
		}
	}
}

func (m *model) redrive(rt *rapid.T) {
	task := m.pick(rt, "dead")
	letters := m.stream(m.t, "argus_dead:"+job.DefaultQueue)
	i := slices.IndexFunc(letters, func(l goredis.XMessage) bool {
		d, err := job.DecodeTask(values(l))
		return err == nil && d.ReportID == task.id
	})
	if i < 0 {
		rt.Fatal("there is no dead letter of", task.id)
	}
	n, err := m.broker.Redrive(m.ctx, "", false, []string{letters[i].ID})
	if !m.mayFollow(rt, task.job, err) {
		return
	}
	if n != 1 {
		rt.Fatal(n, "were redriven")
	}
	task.place, task.crashes, task.failures = "waiting", 0, 0
	// The result that its death recorded is withdrawn.
	cursor := values(letters[i])["argus_result"]
	task.job.events = slices.DeleteFunc(task.job.events, func(e *modelEvent) bool { return e.cursor == cursor })
	m.marks(task)
}

// ask checks what State and Job return about a job.
func (m *model) ask(rt *rapid.T) {
	j := m.pickJob(rt)
	state, err := m.broker.State(m.ctx, j.name, nil)
	if err != nil && !errors.Is(err, job.ErrJobNotFound) {
		rt.Fatal(err)
	}
	if err == nil && (state.Status.Terminal() || j.result() != nil) && state.Status != j.status() {
		rt.Fatalf("%s has the state %q, want %q", j.name, state.Status, j.status())
	}
	info, err := m.broker.Job(m.ctx, j.name)
	if errors.Is(err, job.ErrJobNotFound) && j.result() == nil {
		return
	}
	must(rt, err)
	result := j.result()
	if (info.Result == nil) != (result == nil) || result != nil && (info.Result.Cursor != result.cursor || info.Status != j.status()) {
		rt.Fatalf("%+v, want the result %+v", info, result)
	}
	isLeased := slices.ContainsFunc(j.tasks, func(t *modelTask) bool { return t.is("leased") })
	isThere := slices.ContainsFunc(j.tasks, func(t *modelTask) bool { return t.isLive() || t.is("dead") })
	if (info.Place.Where == queue.WhereLeased) != isLeased || (info.Place.Where == queue.WhereNowhere) == isThere {
		rt.Fatalf("it is %q; leased %t, there %t", info.Place.Where, isLeased, isThere)
	}
}

// check compares the events in Redis with the model's.
func (m *model) check(rt *rapid.T) {
	for _, j := range m.jobs {
		got := m.stream(m.t, "argus_completion:"+j.name)
		if len(got) != len(j.events) {
			rt.Fatalf("%s has the events %v, want %d", j.name, got, len(j.events))
		}
		for i, event := range j.events {
			status := string(job.DecodeEvent(j.name, got[i].ID, values(got[i])).Status)
			if !slices.Contains(event.status, status) || event.cursor != "" && event.cursor != got[i].ID {
				rt.Fatalf("%s has the event %v, want %+v", j.name, got[i], event)
			}
			event.cursor, event.status = got[i].ID, []string{status}
		}
	}
}

// drain settles everything.
func (m *model) drain(rt *rapid.T) {
	m.restart(rt) // it counts at once what is in flight
	for isEmpty := false; !isEmpty; {
		m.time(rt)
		must(rt, m.broker.MoveDue(m.ctx))
		for _, task := range m.tasks {
			if task.is("leased", "expired") {
				m.completes(rt, task, job.StatusCompleted)
				m.check(rt)
			}
		}
		deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Consumer: "drain", Max: 100})
		must(rt, err)
		m.settleUnwanted()
		m.check(rt)
		m.took(rt, deliveries, "waiting", "expired")
		// In the order in which tasks move: the broker continues to move them.
		isEmpty = len(deliveries)+len(m.keys("argus_delayed:*"))+len(m.keys("argus_fair:*"))+len(m.stream(m.t, job.DefaultQueue)) == 0
	}
	m.left(rt)
}

// left checks what is there when everything is drained.
func (m *model) left(rt *rapid.T) {
	dead := 0
	for _, task := range m.tasks {
		switch {
		case task.is("dead"):
			dead++
		case !task.is("gone", "lost"):
			rt.Fatalf("%s is lost: the model has it %s", task.id, task.place)
		}
	}
	p := m.bundle.raw.XPending(m.ctx, m.key(job.DefaultQueue), job.DefaultGroup).Val()
	if p != nil && p.Count != 0 || len(m.keys("argus_delayed:*")) != 0 {
		rt.Fatal("leases or delayed tasks are left:", p)
	}
	if n := m.bundle.raw.XLen(m.ctx, m.key("argus_dead:"+job.DefaultQueue)).Val(); int(n) != dead {
		rt.Fatalf("%d dead letters, want %d", n, dead)
	}
	for _, j := range m.jobs {
		if mark := m.keys("argus_active:" + j.name); len(mark) > 0 && !j.isLost() {
			rt.Fatalf("the mark of %s is left", j.name)
		}
	}
	await(m.t, m.ctx, func() bool { // of fairness, nothing is left behind
		must(rt, m.broker.MoveDue(m.ctx))
		return len(m.keys("argus_fair*")) == 0
	})
}
