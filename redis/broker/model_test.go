package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// TestModelOfAQueue runs random histories of a queue's whole life against a model of it. Time is
// a step of the history: it decides when leases expire and delays pass.
//
// At every step each job's events are those of the model, and Read delivers only what may be
// delivered. At the end everything is drained, and then nothing is left: every task that was
// published is settled, dead, or was lost with a deleted stream, and no entry, lease, delayed
// task or mark is left that no call can reach.
func TestModelOfAQueue(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(rt *rapid.T, s *modelStore) {
		if rapid.Bool().Draw(rt, "fair") {
			s.queue = job.QueueSettings{FairBy: job.FairByOrganization, FairMaxInFlight: rapid.IntRange(0, 2).Draw(rt, "limit")}
		}
		s.queue.UniqueJobs = rapid.Bool().Draw(rt, "unique")
		s.restart(rt)
		m := &model{modelStore: s}
		rt.Repeat(map[string]func(*rapid.T){
			"publish": m.publish, "read": m.read, "complete": m.complete, "repeat": m.repeat, "late": m.late,
			"nack": m.nack, "ack": m.ack, "extend": m.extend, "crash": m.crash, "cancel": m.cancel,
			"time": m.time, "redrive": m.redrive, "restart": m.restart, "raw": m.rawPublish, "": m.check,
			"append": m.append, "purge": m.purge, "delete": m.delete, "held": m.held, "own": m.own, "ask": m.ask,
		})
		m.drain(rt)
	})
}

type model struct {
	*modelStore
	jobs  []*modelJob
	tasks []*modelTask
	n     int // events so far
}

// pick draws a task in one of the places.
func (m *model) pick(rt *rapid.T, places ...string) *modelTask {
	var tasks []*modelTask
	for _, task := range m.tasks {
		if task.is(places...) {
			tasks = append(tasks, task)
		}
	}
	if len(tasks) == 0 {
		rt.Skip("there is no such task in this history yet")
	}
	return draw(rt, "task", tasks...)
}

// pickJob draws a job.
func (m *model) pickJob(rt *rapid.T) *modelJob {
	if len(m.jobs) == 0 {
		rt.Skip("there is no job in this history yet")
	}
	return draw(rt, "job", m.jobs...)
}

// newTask makes a task, of a new job or of one that had tasks before.
func (m *model) newTask(rt *rapid.T) *modelTask {
	task := &modelTask{id: fmt.Sprintf("<task-%d>", len(m.tasks)), place: "waiting"}
	if len(m.jobs) > 0 && rapid.Bool().Draw(rt, "again") {
		task.job = m.pickJob(rt)
	} else {
		task.job = &modelJob{name: fmt.Sprint("job-", len(m.jobs))}
	}
	return task
}

// published adds a task to the model.
func (m *model) published(task *modelTask) {
	m.tasks = append(m.tasks, task)
	if j := task.job; len(j.tasks) == 0 {
		m.jobs = append(m.jobs, j)
	}
	task.job.tasks = append(task.job.tasks, task)
}

// marks makes a task the one that keeps others of its job out.
func (m *model) marks(task *modelTask) { task.job.mark, task.job.markedAt = task, m.n }

// mayFollow checks the reply when a job was to have a further task, and reports whether it has one.
func (m *model) mayFollow(rt *rapid.T, j *modelJob, err error) bool {
	isActive := m.queue.UniqueJobs && j.isActive()
	if errors.Is(err, job.ErrJobActive) && (isActive || m.queue.UniqueJobs && j.isLost()) {
		return false
	}
	must(rt, err)
	if isActive {
		rt.Fatalf("%s has a further task beside %+v", j.name, j.mark)
	}
	return true
}

func (m *model) publish(rt *rapid.T) {
	task := m.newTask(rt)
	r := queue.PublishRequest{Task: job.Task{JobID: task.job.name, ReportID: task.id, OrganizationID: draw(rt, "organization", "", "a", "b")}}
	if rapid.Bool().Draw(rt, "delayed") {
		r.Delay, task.place = time.Hour, "delayed"
	}
	if len(task.job.tasks) == 0 && rapid.Bool().Draw(rt, "state") {
		r.State = &job.InitialState{}
	}
	_, _, err := m.broker.Publish(m.ctx, r)
	if m.mayFollow(rt, task.job, err) {
		m.published(task)
		m.marks(task)
	}
}

// rawPublish is a raw peer's publish.
func (m *model) rawPublish(rt *rapid.T) {
	task := m.newTask(rt)
	values := []any{"job_id", task.job.name, "report_id", task.id}
	if rapid.Bool().Draw(rt, "json") {
		values = []any{"data", fmt.Sprintf(`{"job_id":%q,"report_id":%q}`, task.job.name, task.id)}
	}
	m.tick() // the millisecond distinguishes it from the task that has the mark of its job
	must(rt, m.raw.XAdd(m.ctx, entry(m.key(job.DefaultQueue), values...)).Err())
	m.tick()
	m.published(task)
}

// append is a raw peer's event, or many of them. The first terminal one is the job's result.
func (m *model) append(rt *rapid.T) {
	j := m.pickJob(rt)
	status := draw(rt, "status", "running", "completed", "failed")
	values := []any{"status", status}
	if rapid.Bool().Draw(rt, "json") {
		values = []any{"data", fmt.Sprintf(`{"status":%q}`, status)}
	}
	n := 1
	if status == "running" { // more than a script examines at once
		n = draw(rt, "n", 1, 10, 120)
	}
	for range n {
		must(rt, m.raw.XAdd(m.ctx, entry(m.key("argus_completion:"+j.name), values...)).Err())
		m.event(j, status)
	}
}

func (m *model) event(j *modelJob, status string) {
	m.n++
	j.events = append(j.events, &modelEvent{n: m.n, status: []string{status}})
}

// end ends a task, and its job if that has no result yet.
func (m *model) end(task *modelTask, place, result string) {
	task.leaves(place)
	if task.job.result() == nil {
		m.event(task.job, result)
	}
}

func (m *model) complete(rt *rapid.T) {
	task := m.pick(rt, "leased", "expired")
	m.completes(rt, task, draw(rt, "status", job.StatusCompleted, job.StatusFailed, job.StatusPartial))
}

func (m *model) completes(rt *rapid.T, task *modelTask, status job.Status) {
	token, result := task.lease.Lease.Token(), task.job.result()
	r, err := m.broker.Complete(m.ctx, token, job.Result{Status: status})
	must(rt, err)
	if r.Already != (result != nil) || r.Already && r.Cursor != result.cursor {
		rt.Fatalf("%+v, but its result was %+v", r, result)
	}
	if !r.Already {
		m.event(task.job, string(status))
		task.job.worked, task.place = token, "gone"
	}
	task.leaves("gone")
}

// repeat repeats a Complete, as after a lost reply.
func (m *model) repeat(rt *rapid.T) {
	j := m.pickJob(rt)
	if j.worked == "" {
		rt.Skip("no Complete of it gave the result")
	}
	r, err := m.broker.Complete(m.ctx, j.worked, job.Result{Status: job.StatusCancelled})
	if err != nil || !r.Already || r.Cursor != j.result().cursor {
		rt.Fatal(r, err)
	}
}

// late is a worker that lost its lease.
func (m *model) late(rt *rapid.T) {
	task := m.pick(rt, "waiting", "leased", "expired", "delayed", "dead", "gone", "lost")
	if len(task.late) == 0 {
		rt.Skip("no consumer has lost a lease of it")
	}
	token := draw(rt, "token", task.late...)
	errs := map[string]error{"nack": m.bundle.nack(queue.NackRequest{Token: token})}
	_, errs["complete"] = m.broker.Complete(m.ctx, token, job.Result{Status: job.StatusFailed})
	_, errs["extend"] = m.broker.Extend(m.ctx, token, nil)
	errs["state"] = m.broker.SetState(m.ctx, task.job.name, map[string]string{"x": "late"}, token)
	for call, err := range errs {
		if !errors.Is(err, job.ErrLeaseLost) {
			rt.Fatalf("%s: %v", call, err)
		}
	}
}
