package redis_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// TestModel runs random histories of a queue's whole life against a model of it. Time is
// a step of the history: leases run out and delays pass when it says so.
//
// At every step each job's events and its state are what the model says, and what Read
// gives is what may be given. At the end everything is drained, and then nothing is left:
// every job that was published has its one result or its dead letter, and no entry, lease
// or delayed task is there that nobody can reach.
func TestModel(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		raw, prefix, n := e.Raw(t), e.Prefix, 0
		rapid.Check(t, func(rt *rapid.T) {
			n++
			e.Prefix = fmt.Sprintf("%s%d:", prefix, n) // a store of its own
			client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix}))
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			ctx, cancel := context.WithTimeout(context.Background(), redistest.Patience)
			defer cancel()
			fair := redis.QueueConfig{}
			if rapid.Bool().Draw(rt, "fair") {
				fair = redis.QueueConfig{FairBy: redis.FairByOrganization, FairMaxInFlight: rapid.IntRange(0, 2).Draw(rt, "limit")}
			}
			m := &model{t: t, fair: fair, jobs: make(map[string]*modelJob), b: &bundle{ctx: ctx, engine: e, client: client, raw: raw}}
			m.open()
			defer func() { m.b.broker.Close() }()
			rt.Repeat(map[string]func(*rapid.T){
				"publish": m.publish, "read": m.read, "complete": m.complete, "repeat": m.repeat, "late": m.late,
				"nack": m.nack, "ack": m.ack, "extend": m.extend, "crash": m.crash, "cancel": m.cancel,
				"time": m.time, "redrive": m.redrive, "restart": m.restart, "raw": m.raw, "events": m.events, "": m.check,
			})
			m.drain(rt)
		})
	})
}

// The limits of the model's queue.
const (
	modelAttempts = 3
	modelCrashes  = 2
)

// modelJob is a job, which has one task at most.
type modelJob struct {
	place    string // waiting, leased, delayed, dead or gone
	result   string // the status of its terminal event, "" for none
	isDead   bool   // the result is that of its dead letter
	crashes  int    // how often it was delivered because a lease ran out
	failures int
	isDoomed bool // cancelled
	// lease is the one that holds, tokens are all that did not.
	lease  redis.Delivery
	late   []string
	worked string // the token whose Complete gave the result
}

type model struct {
	b    *bundle
	t    *testing.T
	jobs map[string]*modelJob
	next int
	fair redis.QueueConfig
}

// pick draws a job in one of the places; "" when there is none.
func (m *model) pick(rt *rapid.T, places ...string) (string, *modelJob) {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(m.jobs)) {
		if slices.Contains(places, m.jobs[name].place) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		rt.Skip("there is no such job in this history yet")
	}
	name := rapid.SampledFrom(names).Draw(rt, "job")
	return name, m.jobs[name]
}

func (m *model) must(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func (m *model) publish(rt *rapid.T) {
	m.next++
	name := fmt.Sprint("job-", m.next)
	r := redis.PublishRequest{Task: redis.Task{JobID: name, OrganizationID: rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "organization")}}
	job := &modelJob{place: "waiting"}
	if rapid.Bool().Draw(rt, "delayed") {
		r.Delay, job.place = time.Hour, "delayed"
	}
	if rapid.Bool().Draw(rt, "state") {
		r.State = &redis.InitialState{}
	}
	_, _, err := m.b.broker.Publish(m.b.ctx, r)
	m.must(rt, err)
	m.jobs[name] = job
}

// raw is a raw peer's publish.
func (m *model) raw(rt *rapid.T) {
	m.next++
	name := fmt.Sprint("job-", m.next)
	values := []any{"job_id", name}
	if rapid.Bool().Draw(rt, "json") {
		values = []any{"data", fmt.Sprintf(`{"job_id":%q}`, name)}
	}
	m.must(rt, m.b.raw.XAdd(m.b.ctx, entry(m.b.key(redis.DefaultQueue), values...)).Err())
	m.jobs[name] = &modelJob{place: "waiting"}
}

// events are a raw peer's, before or behind the job's result: any number that says nothing new.
func (m *model) events(rt *rapid.T) {
	name, _ := m.pick(rt, "waiting", "leased", "expired", "delayed", "dead", "gone")
	values := []any{"status", "running"}
	if rapid.Bool().Draw(rt, "json") {
		values = []any{"data", `{"status":"running"}`}
	}
	m.b.peerEvents(m.t, name, rapid.SampledFrom([]int{1, 10, 120}).Draw(rt, "n"), values...)
}

// read takes what there is. Expired leases may be looked for a little later.
func (m *model) read(rt *rapid.T) {
	deliveries, err := m.b.broker.Read(m.b.ctx, redis.ReadRequest{Consumer: rapid.SampledFrom([]string{"w1", "w2"}).Draw(rt, "consumer"), Max: rapid.IntRange(1, 5).Draw(rt, "max")})
	m.must(rt, err)
	m.settleUnwanted()
	m.took(rt, deliveries)
}

func (m *model) took(rt *rapid.T, deliveries []redis.Delivery) {
	for _, d := range deliveries {
		job := m.jobs[d.Task.JobID]
		switch {
		case job == nil:
			rt.Fatalf("a task that nobody published: %+v", d)
		case job.place != "waiting" && job.place != "expired":
			rt.Fatalf("%s was delivered, but it is %s", d.Task.JobID, job.place)
		case job.isDoomed:
			rt.Fatalf("%s was delivered, but it was cancelled", d.Task.JobID)
		}
		if job.place == "expired" {
			job.late = append(job.late, job.lease.Lease.Token())
			job.crashes++
		}
		if d.Attempt != 1+job.crashes+job.failures || d.Failures != job.failures {
			rt.Fatalf("%s: attempt %d with %d failures, want %d and %d", d.Task.JobID, d.Attempt, d.Failures, 1+job.crashes+job.failures, job.failures)
		}
		job.place, job.lease = "leased", d
	}
}

// settleUnwanted brings the model to what a read does with tasks that nobody gets: it may
// have come to them or not.
func (m *model) settleUnwanted() {
	for name, job := range m.jobs {
		if job.place != "waiting" && job.place != "expired" {
			continue
		}
		doomed, poison := job.isDoomed, job.crashes+1 >= modelCrashes && job.place == "expired"
		if !doomed && !poison || m.has(name) {
			continue
		}
		if job.place == "expired" {
			job.late = append(job.late, job.lease.Lease.Token())
		}
		if doomed {
			m.end(job, "gone", "cancelled")
		} else {
			m.end(job, "dead", "failed")
		}
	}
}

// has says whether the queue has a task of a job. What is in the backlog may go to the
// stream meanwhile.
func (m *model) has(name string) bool {
	for _, member := range m.backlog() {
		if strings.Contains(member, fmt.Sprintf("6:job_id%d:%s", len(name), name)) {
			return true
		}
	}
	for _, entry := range m.b.stream(m.t, redis.DefaultQueue) {
		task, err := redis.DecodeTask(values(entry))
		if err == nil && task.JobID == name {
			return true
		}
	}
	return false
}

func (m *model) backlog() []string {
	return m.b.raw.ZRange(m.b.ctx, m.b.key("argus_fair:"+redis.DefaultQueue), 0, -1).Val()
}

// end is what becomes of a job whose task ends, if it has no result yet.
func (m *model) end(job *modelJob, place, result string) {
	job.place = place
	if job.result == "" {
		job.result, job.isDead = result, place == "dead"
	}
}

func (m *model) complete(rt *rapid.T) {
	_, job := m.pick(rt, "leased", "expired")
	status := rapid.SampledFrom([]redis.Status{redis.StatusCompleted, redis.StatusFailed, redis.StatusPartial}).Draw(rt, "status")
	r, err := m.b.broker.Complete(m.b.ctx, job.lease.Lease.Token(), redis.Result{Status: status})
	m.must(rt, err)
	if r.Already != (job.result != "") {
		rt.Fatalf("already %t, but its result was %q", r.Already, job.result)
	}
	if !r.Already {
		job.worked = job.lease.Lease.Token()
	} else {
		job.late = append(job.late, job.lease.Lease.Token())
	}
	m.end(job, "gone", string(status))
}

// repeat is a Complete whose answer was lost.
func (m *model) repeat(rt *rapid.T) {
	_, job := m.pick(rt, "gone")
	if job.worked == "" {
		rt.Skip("no Complete of it gave the result")
	}
	if r, err := m.b.broker.Complete(m.b.ctx, job.worked, redis.Result{Status: redis.StatusCancelled}); err != nil || !r.Already {
		rt.Fatal(r, err)
	}
}

// late is a worker that lost its lease.
func (m *model) late(rt *rapid.T) {
	_, job := m.pick(rt, "waiting", "leased", "expired", "delayed", "dead", "gone")
	if len(job.late) == 0 {
		rt.Skip("nobody has lost a lease of it")
	}
	token := rapid.SampledFrom(job.late).Draw(rt, "token")
	errs := map[string]error{"nack": m.b.nack(redis.NackRequest{Token: token})}
	_, errs["complete"] = m.b.broker.Complete(m.b.ctx, token, redis.Result{Status: redis.StatusFailed})
	_, errs["extend"] = m.b.broker.Extend(m.b.ctx, token, nil)
	errs["state"] = m.b.broker.SetState(m.b.ctx, job.lease.Task.JobID, map[string]string{"x": "late"}, token)
	for call, err := range errs {
		if !errors.Is(err, redis.ErrLeaseLost) {
			rt.Fatalf("%s: %v", call, err)
		}
	}
}

func (m *model) nack(rt *rapid.T) {
	_, job := m.pick(rt, "leased", "expired")
	r := redis.NackRequest{Token: job.lease.Lease.Token()}
	switch rapid.SampledFrom([]string{"now", "later", "back-off", "dead", "release"}).Draw(rt, "how") {
	case "now":
		r.Delay = new(time.Duration(0))
	case "later":
		r.Delay = new(time.Hour)
	case "dead":
		r.DeadLetter = true
	case "release":
		r.Release = true
	}
	n, err := m.b.broker.Nack(m.b.ctx, r)
	m.must(rt, err)
	want := redis.NackRetry
	job.late = append(job.late, r.Token)
	if !r.Release && !r.DeadLetter && !job.isDoomed {
		job.failures++
	}
	switch {
	case r.Release:
		job.place = "waiting"
	case job.isDoomed:
		want = redis.NackCancelled
		m.end(job, "gone", "cancelled")
	case r.DeadLetter || job.failures >= modelAttempts:
		want = redis.NackDead
		m.end(job, "dead", "failed")
	case n.Delay > 0:
		job.place = "delayed"
	default:
		job.place = "waiting"
	}
	if n.Outcome != want {
		rt.Fatalf("%s, want %s", n.Outcome, want)
	}
}

func (m *model) ack(rt *rapid.T) {
	_, job := m.pick(rt, "leased")
	if job.isDoomed {
		rt.Skip("its worker would have to report, not to acknowledge")
	}
	r, err := m.b.broker.Ack(m.b.ctx, []string{job.lease.Lease.Token()})
	m.must(rt, err)
	if r[0].Outcome != redis.Acked {
		rt.Fatal(r)
	}
	job.place, job.late = "gone", append(job.late, job.lease.Lease.Token())
}

func (m *model) extend(rt *rapid.T) {
	_, job := m.pick(rt, "leased", "expired")
	x, err := m.b.broker.Extend(m.b.ctx, job.lease.Lease.Token(), map[string]string{"progress": "1"})
	m.must(rt, err)
	if x.Cancelled != job.isDoomed {
		rt.Fatalf("cancelled %t, want %t", x.Cancelled, job.isDoomed)
	}
	job.place = "leased" // if it was expired, it came back in time
}

// crash lets a lease run out.
func (m *model) crash(rt *rapid.T) {
	_, job := m.pick(rt, "leased")
	m.b.expire(m.t, job.lease.Lease)
	job.place = "expired"
}

func (m *model) cancel(rt *rapid.T) {
	name, job := m.pick(rt, "waiting", "leased", "expired", "delayed", "dead", "gone")
	if job.result == "" && job.place == "gone" { // acknowledged: it may be unknown
		rt.Skip("it was acknowledged: it may be unknown")
	}
	c, err := m.b.broker.Cancel(m.b.ctx, name, "")
	m.must(rt, err)
	want := redis.Status(job.result)
	switch {
	case job.result != "":
	case job.place == "leased":
		want, job.isDoomed = redis.StatusRunning, true
	default:
		want, job.isDoomed = redis.StatusPending, true
		if job.place == "delayed" {
			job.place = "gone"
		}
		job.result = "cancelled"
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
}

// time makes all that is delayed due.
func (m *model) time(*rapid.T) {
	m.b.travel(m.t)
	for _, job := range m.jobs {
		if job.place == "delayed" {
			job.place = "waiting"
		}
	}
}

func (m *model) redrive(rt *rapid.T) {
	name, job := m.pick(rt, "dead")
	letters, err := m.b.broker.DeadLetters(m.b.ctx, "", "", 1000)
	m.must(rt, err)
	for _, d := range letters {
		if d.Task.JobID != name {
			continue
		}
		n, err := m.b.broker.Redrive(m.b.ctx, "", false, []string{d.EntryID})
		if err != nil || n != 1 {
			rt.Fatal(n, err)
		}
		job.place, job.crashes, job.failures = "waiting", 0, 0
		if job.isDead {
			job.result, job.isDead = "", false
		}
		return
	}
	rt.Fatal("there is no dead letter of", name)
}

// restart is another server in the place of this one.
func (m *model) restart(*rapid.T) {
	m.b.broker.Close()
	m.open()
}

func (m *model) open() {
	config := m.fair
	config.MaxAttempts, config.MaxCrashes, config.RetryMin, config.RetryMax = modelAttempts, modelCrashes, time.Hour, time.Hour
	broker, err := redis.NewBroker(m.b.client, redis.BrokerConfig{Logger: slog.New(slog.DiscardHandler), Queue: config})
	if err != nil {
		m.t.Fatal(err)
	}
	m.b.broker = broker
}

// check compares what is in Redis with the model.
func (m *model) check(rt *rapid.T) {
	for name, job := range m.jobs {
		var want []string
		if job.result != "" {
			want = []string{job.result}
		}
		var got []string
		for _, event := range m.b.stream(m.t, "argus_completion:"+name) {
			if status, ok := event.Values["status"].(string); ok && status != "running" {
				got = append(got, status)
			}
		}
		if !slices.Equal(got, want) {
			rt.Fatalf("%s has the results %q, want %q", name, got, want)
		}
		status := m.b.raw.HGet(m.b.ctx, m.b.key("job_state:"+name), "status").Val()
		if status != "" && job.result != "" && status != job.result {
			rt.Fatalf("%s has the state %q, want %q", name, status, job.result)
		}
	}
}

// drain works everything off.
func (m *model) drain(rt *rapid.T) {
	for {
		m.time(rt)
		for _, job := range m.jobs {
			if job.place == "leased" || job.place == "expired" {
				r, err := m.b.broker.Complete(m.b.ctx, job.lease.Lease.Token(), redis.Result{Status: redis.StatusCompleted})
				m.must(rt, err)
				if r.Already != (job.result != "") {
					rt.Fatal(r)
				}
				m.end(job, "gone", "completed")
			}
		}
		left := len(m.backlog()) + len(m.b.stream(m.t, redis.DefaultQueue))
		if left == 0 {
			break
		}
		deliveries, err := m.b.broker.Read(m.b.ctx, redis.ReadRequest{Consumer: "drain", Max: 100})
		m.must(rt, err)
		m.settleUnwanted()
		m.took(rt, deliveries)
	}
	m.settleUnwanted()
	m.check(rt)
	dead := 0
	for name, job := range m.jobs {
		switch job.place {
		case "dead":
			dead++
		case "gone":
		default:
			rt.Fatalf("%s is lost: the model has it %s", name, job.place)
		}
	}
	raw := m.b.raw
	p := raw.XPending(m.b.ctx, m.b.key(redis.DefaultQueue), redis.DefaultGroup).Val()
	if p != nil && p.Count != 0 || raw.ZCard(m.b.ctx, m.b.key("argus_delayed:"+redis.DefaultQueue)).Val() != 0 {
		rt.Fatal("leases or delayed tasks are left:", p)
	}
	if n := raw.XLen(m.b.ctx, m.b.key("argus_dead:"+redis.DefaultQueue)).Val(); int(n) != dead {
		rt.Fatalf("%d dead letters, want %d", n, dead)
	}
	await(m.t, m.b.ctx, func() bool { // of fairness, nothing is left behind
		return len(raw.Keys(m.b.ctx, m.b.key("argus_fair*")).Val()) == 0
	})
}
