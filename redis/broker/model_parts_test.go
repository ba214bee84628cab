package broker_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// TestModelOfParts runs random histories of jobs with parts, whose state or record of parts is
// lost at any time, but never both, against a model of them.
//
// Each part has one result and one event, the terminal event comes when the last part has
// reported, and its status is that of all parts. Watches, opened and resumed at any time, see
// every event once, in order.
func TestModelOfParts(t *testing.T) {
	t.Parallel()
	eachHistory(t, func(rt *rapid.T, s *modelStore) {
		if rapid.Bool().Draw(rt, "fair") {
			s.queue.FairBy = job.FairByOrganization
		}
		s.restart(rt)
		m := &partsModel{modelStore: s}
		defer m.closeWatches()
		rt.Repeat(map[string]func(*rapid.T){
			"create": m.create, "read": m.read, "complete": m.complete, "report": m.report, "repeat": m.repeat,
			"whole": m.whole, "progress": m.progress, "nack": m.nack, "crash": m.crash, "redrive": m.redrive,
			"cancel": m.cancel, "purge": m.purge, "time": m.time, "lose": m.lose, "restart": m.reopen,
			"watch": m.watch, "": m.check,
		})
		m.drain(rt)
	})
}

// partsJob is a job with parts.
type partsJob struct {
	name   string
	parts  []*modelPart
	events []*partsEvent
}

// partsEvent is an event of such a job. The cursor is "" until it was seen.
type partsEvent struct {
	status job.Status
	part   string
	cursor string
}

// modelPart is a part, and its one task.
type modelPart struct {
	modelTask
	of     *partsJob
	name   string
	status job.Status  // what it reported, "" for nothing
	report *partsEvent // its event, or the one that ended the job before
	worked string      // the token whose Complete was its report
}

// GoString is what a failed history shows of it.
func (p *modelPart) GoString() string { return p.id + " " + p.place + " " + string(p.status) }

// partWatch is a watch that has seen so many events of a job.
type partWatch struct {
	*watch.Watch
	job  *partsJob
	seen int
}

type partsModel struct {
	*modelStore
	jobs    []*partsJob
	watches []*partWatch
}

// result is the job's terminal event; nil for none.
func (j *partsJob) result() *partsEvent {
	if n := len(j.events); n > 0 && j.events[n-1].status.Terminal() {
		return j.events[n-1]
	}
	return nil
}

// combined is what the parts make of the job.
func (j *partsJob) combined() job.Status {
	all := func(statuses ...job.Status) bool {
		return !slices.ContainsFunc(j.parts, func(p *modelPart) bool { return !slices.Contains(statuses, p.status) })
	}
	const completed, failed, cancelled = job.StatusCompleted, job.StatusFailed, job.StatusCancelled
	switch {
	case slices.ContainsFunc(j.parts, func(p *modelPart) bool { return p.status == "" }):
		return job.StatusRunning
	case all(completed):
		return completed
	case all(cancelled):
		return cancelled
	case all(failed, cancelled):
		return failed
	}
	return job.StatusPartial
}

// reports gives a part its status, if it has none; false when it or its job had one already.
func (p *modelPart) reports(status job.Status) bool {
	if p.status != "" {
		return false
	}
	p.status = status
	if p.report = p.of.result(); p.report != nil {
		return false // it counts if that is withdrawn
	}
	p.report = &partsEvent{status: p.of.combined(), part: p.name}
	p.of.events = append(p.of.events, p.report)
	return true
}

func (m *partsModel) parts(filter func(*modelPart) bool) (parts []*modelPart) {
	for _, j := range m.jobs {
		for _, p := range j.parts {
			if filter(p) {
				parts = append(parts, p)
			}
		}
	}
	return parts
}

// pick draws a part whose task is in one of the places.
func (m *partsModel) pick(rt *rapid.T, places ...string) *modelPart {
	parts := m.parts(func(p *modelPart) bool { return p.is(places...) })
	if len(parts) == 0 {
		rt.Skip("there is no such task in this history yet")
	}
	return draw(rt, "part", parts...)
}

func (m *partsModel) pickJob(rt *rapid.T) *partsJob {
	if len(m.jobs) == 0 {
		rt.Skip("there is no job in this history yet")
	}
	i := rapid.IntRange(0, len(m.jobs)-1).Draw(rt, "job")
	return m.jobs[i]
}

// create makes a job with its parts: by Init, or by the publish of its first task.
func (m *partsModel) create(rt *rapid.T) {
	if len(m.jobs) == 3 {
		rt.Skip("there are enough jobs")
	}
	j := &partsJob{name: fmt.Sprint("job-", len(m.jobs))}
	names := []string{"a", "b", "c"}[:rapid.IntRange(1, 3).Draw(rt, "parts")]
	isInit := rapid.Bool().Draw(rt, "init")
	if isInit {
		_, err := m.broker.InitState(m.ctx, state.InitRequest{JobID: j.name, InitialState: job.InitialState{Parts: names}})
		must(rt, err)
	}
	for i, name := range names {
		p := &modelPart{of: j, name: name, modelTask: modelTask{id: fmt.Sprintf("<%s-%s>", j.name, name), place: "waiting"}}
		r := queue.PublishRequest{Task: job.Task{JobID: j.name, Part: name, ReportID: p.id}}
		if i == 0 && !isInit {
			r.State = &job.InitialState{Parts: names}
		}
		if rapid.Bool().Draw(rt, "delayed") {
			r.Delay, p.place = time.Hour, "delayed"
		}
		_, _, err := m.broker.Publish(m.ctx, r)
		must(rt, err)
		j.parts = append(j.parts, p)
	}
	m.jobs = append(m.jobs, j)
}

func (m *partsModel) read(rt *rapid.T) {
	deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Consumer: "w", Max: rapid.IntRange(1, 5).Draw(rt, "max")})
	must(rt, err)
	m.took(rt, deliveries)
}

// took takes what a read gave, and brings the model to what it did with tasks that no consumer gets.
func (m *partsModel) took(rt *rapid.T, deliveries []queue.Delivery) {
	m.settle(rt, func(p *modelPart) job.Status {
		switch {
		case p.is("waiting", "expired") && p.isDoomed:
			p.place = "gone"
			return job.StatusCancelled
		case p.is("expired") && p.isPoison():
			p.place = "dead"
			return job.StatusFailed
		}
		return ""
	})
	for _, d := range deliveries {
		found := m.parts(func(p *modelPart) bool { return p.id == d.Task.ReportID })
		if len(found) != 1 {
			rt.Fatalf("a task that was not published: %+v", d)
		}
		p := found[0]
		if !p.is("waiting", "expired") || p.isDoomed {
			rt.Fatalf("%s was delivered, but it is %s, cancelled: %t", p.id, p.place, p.isDoomed)
		}
		if p.is("expired") {
			p.crashes++
		}
		p.place, p.lease = "leased", d
	}
}

// settle brings the model to tasks of which some were settled meanwhile: end returns the outcome of such a
// part. Their order is that of the jobs' events.
func (m *partsModel) settle(rt *rapid.T, end func(*modelPart) job.Status) {
	for _, j := range m.jobs {
		ends := make(map[string]job.Status)
		for _, p := range j.parts {
			if p.isLive() && m.find(p.id) == "" {
				ends[p.name] = end(p)
			}
		}
		for _, event := range m.stream(m.t, "argus_completion:"+j.name)[len(j.events):] {
			i := slices.IndexFunc(j.parts, func(p *modelPart) bool { return p.name == values(event)["part"] })
			if i < 0 || ends[j.parts[i].name] == "" || !j.parts[i].reports(ends[j.parts[i].name]) {
				rt.Fatalf("%s: no part of %v has the event %v", j.name, ends, event)
			}
		}
		for _, p := range j.parts {
			if status := ends[p.name]; status != "" && p.reports(status) {
				rt.Fatalf("%s of %s has no event", p.name, j.name)
			}
		}
	}
}
