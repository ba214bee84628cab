package redis_test

import (
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis"
)

func (m *model) nack(rt *rapid.T) {
	task := m.pick(rt, "leased", "expired")
	r := redis.NackRequest{Token: task.lease.Lease.Token()}
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
	want := redis.NackRetry
	if !r.Release && !r.DeadLetter && !task.isDoomed {
		task.failures++
	}
	switch {
	case r.Release:
		task.leaves("waiting")
	case task.isDoomed:
		want = redis.NackCancelled
		m.end(task, "gone", "cancelled")
	case r.DeadLetter || task.failures >= modelAttempts:
		want = redis.NackDead
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
	if r[0].Outcome != redis.Acked {
		rt.Fatal(r)
	}
	task.leaves("gone")
}

func (m *model) extend(rt *rapid.T) {
	task := m.pick(rt, "leased", "expired")
	x, err := m.broker.Extend(m.ctx, task.lease.Lease.Token(), map[string]string{"progress": "1"})
	must(rt, err)
	if !x.Cancelled && task.isDoomed {
		rt.Fatal("its worker was not told that it was cancelled")
	}
	task.place = "leased" // if it was expired, it came back in time
}

// crash lets a lease run out.
func (m *model) crash(rt *rapid.T) {
	task := m.pick(rt, "leased")
	m.expire(m.t, task.lease.Lease)
	task.place = "expired"
}

func (m *model) cancel(rt *rapid.T) {
	job := m.pickJob(rt)
	if job.result() == nil && !slices.ContainsFunc(job.tasks, func(t *modelTask) bool { return t.isLive() || t.is("dead") }) {
		rt.Skip("it may be unknown")
	}
	c, err := m.broker.Cancel(m.ctx, job.name, "")
	must(rt, err)
	want := redis.StatusPending
	switch isLeased := func(t *modelTask) bool { return t.is("leased") }; {
	case job.result() != nil:
		want = job.status()
	case slices.ContainsFunc(job.tasks, isLeased):
		want = redis.StatusRunning
		m.doom(job)
	default:
		m.doom(job)
		m.event(job, "cancelled")
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
}

// doom is what a cancellation does to the tasks of a job. Some are dropped at once.
func (m *model) doom(job *modelJob) {
	for _, task := range job.tasks {
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
	must(rt, m.bundle.raw.Del(m.ctx, m.key(redis.DefaultQueue)).Err())
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
	letters := m.stream(m.t, "argus_dead:"+redis.DefaultQueue)
	i := slices.IndexFunc(letters, func(l goredis.XMessage) bool {
		d, err := redis.DecodeTask(values(l))
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

// ask checks what is said of a job.
func (m *model) ask(rt *rapid.T) {
	job := m.pickJob(rt)
	state, err := m.broker.State(m.ctx, job.name, nil)
	if err != nil && !errors.Is(err, redis.ErrJobNotFound) {
		rt.Fatal(err)
	}
	if err == nil && (state.Status.Terminal() || job.result() != nil) && state.Status != job.status() {
		rt.Fatalf("%s has the state %q, want %q", job.name, state.Status, job.status())
	}
	info, err := m.broker.Job(m.ctx, job.name)
	if errors.Is(err, redis.ErrJobNotFound) && job.result() == nil {
		return
	}
	must(rt, err)
	result := job.result()
	if (info.Result == nil) != (result == nil) || result != nil && (info.Result.Cursor != result.cursor || info.Status != job.status()) {
		rt.Fatalf("%+v, want the result %+v", info, result)
	}
	isLeased := slices.ContainsFunc(job.tasks, func(t *modelTask) bool { return t.is("leased") })
	isThere := slices.ContainsFunc(job.tasks, func(t *modelTask) bool { return t.isLive() || t.is("dead") })
	if (info.Place.Where == redis.WhereLeased) != isLeased || (info.Place.Where == redis.WhereNowhere) == isThere {
		rt.Fatalf("it is %q; leased %t, there %t", info.Place.Where, isLeased, isThere)
	}
}

// check compares the events in Redis with the model's.
func (m *model) check(rt *rapid.T) {
	for _, job := range m.jobs {
		got := m.stream(m.t, "argus_completion:"+job.name)
		if len(got) != len(job.events) {
			rt.Fatalf("%s has the events %v, want %d", job.name, got, len(job.events))
		}
		for i, event := range job.events {
			status := string(redis.DecodeEvent(job.name, got[i].ID, values(got[i])).Status)
			if !slices.Contains(event.status, status) || event.cursor != "" && event.cursor != got[i].ID {
				rt.Fatalf("%s has the event %v, want %+v", job.name, got[i], event)
			}
			event.cursor, event.status = got[i].ID, []string{status}
		}
	}
}

// drain works everything off.
func (m *model) drain(rt *rapid.T) {
	m.restart(rt) // it counts at once what is in flight
	for isEmpty := false; !isEmpty; {
		m.time(rt)
		must(rt, m.broker.MoveDue(m.ctx))
		for _, task := range m.tasks {
			if task.is("leased", "expired") {
				m.completes(rt, task, redis.StatusCompleted)
				m.check(rt)
			}
		}
		deliveries, err := m.broker.Read(m.ctx, redis.ReadRequest{Consumer: "drain", Max: 100})
		must(rt, err)
		m.settleUnwanted()
		m.check(rt)
		m.took(rt, deliveries, "waiting", "expired")
		isEmpty = len(deliveries)+len(m.stream(m.t, redis.DefaultQueue))+len(m.keys("argus_fair:*"))+len(m.keys("argus_delayed:*")) == 0
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
	p := m.bundle.raw.XPending(m.ctx, m.key(redis.DefaultQueue), redis.DefaultGroup).Val()
	if p != nil && p.Count != 0 || len(m.keys("argus_delayed:*")) != 0 {
		rt.Fatal("leases or delayed tasks are left:", p)
	}
	if n := m.bundle.raw.XLen(m.ctx, m.key("argus_dead:"+redis.DefaultQueue)).Val(); int(n) != dead {
		rt.Fatalf("%d dead letters, want %d", n, dead)
	}
	for _, job := range m.jobs {
		if mark := m.keys("argus_active:" + job.name); len(mark) > 0 && !job.isLost() {
			rt.Fatalf("the mark of %s is left", job.name)
		}
	}
	await(m.t, m.ctx, func() bool { // of fairness, nothing is left behind
		must(rt, m.broker.MoveDue(m.ctx))
		return len(m.keys("argus_fair*")) == 0
	})
}
