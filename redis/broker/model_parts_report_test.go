package broker_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

func (m *partsModel) complete(rt *rapid.T) {
	m.completes(rt, m.pick(rt, "leased", "expired"), drawPartStatus(rt))
}

func drawPartStatus(rt *rapid.T) job.Status {
	return draw(rt, "status", job.StatusCompleted, job.StatusFailed, job.StatusPartial, job.StatusCancelled)
}

func (m *partsModel) completes(rt *rapid.T, p *modelPart, status job.Status) {
	token := p.lease.Lease.Token()
	r, err := m.broker.Complete(m.ctx, token, job.Result{Status: status, Part: p.name})
	must(rt, err)
	m.recorded(rt, p, r, status)
	if !r.Already {
		p.worked = token
	}
	p.place = "gone"
}

// recorded checks the reply to a part's report.
func (m *partsModel) recorded(rt *rapid.T, p *modelPart, r job.Recorded, status job.Status) {
	isNew := p.reports(status)
	if r.Already == isNew || !isNew && r.Cursor != p.report.cursor {
		rt.Fatalf("%+v of %#v, new: %t, want the event %+v", r, p, isNew, p.report)
	}
}

// report is a report without a lease.
func (m *partsModel) report(rt *rapid.T) {
	j := m.pickJob(rt)
	p, status := draw(rt, "part", j.parts...), drawPartStatus(rt)
	r, err := m.broker.Report(m.ctx, j.name, job.Result{Status: status, Part: p.name})
	must(rt, err)
	m.recorded(rt, p, r, status)
}

// repeat is a Complete whose answer was lost.
func (m *partsModel) repeat(rt *rapid.T) {
	p := m.pick(rt, "gone")
	if p.worked == "" {
		rt.Skip("its report came from elsewhere")
	}
	r, err := m.broker.Complete(m.ctx, p.worked, job.Result{Status: drawPartStatus(rt), Part: p.name})
	if err != nil || !r.Already || r.Cursor != p.report.cursor {
		rt.Fatal(r, err)
	}
}

// whole is a result of the whole job, under the lease of a part.
func (m *partsModel) whole(rt *rapid.T) {
	p, status := m.pick(rt, "leased"), drawPartStatus(rt)
	result := p.of.result()
	r, err := m.broker.Complete(m.ctx, p.lease.Lease.Token(), job.Result{Status: status})
	must(rt, err)
	if r.Already != (result != nil) || r.Already && r.Cursor != result.cursor {
		rt.Fatalf("%+v, but its result was %+v", r, result)
	}
	if p.place = "gone"; result == nil {
		p.of.events = append(p.of.events, &partsEvent{status: status})
	}
}

func (m *partsModel) progress(rt *rapid.T) {
	j := m.pickJob(rt)
	r, err := m.broker.Report(m.ctx, j.name, job.Result{Status: job.StatusRunning})
	must(rt, err)
	if r.Already != (j.result() != nil) {
		rt.Fatal(r)
	}
	if !r.Already {
		j.events = append(j.events, &partsEvent{status: job.StatusRunning})
	}
}

func (m *partsModel) nack(rt *rapid.T) {
	p := m.pick(rt, "leased", "expired")
	r := queue.NackRequest{Token: p.lease.Lease.Token(), DeadLetter: true}
	how := draw(rt, "how", "dead", "now", "later")
	switch how {
	case "now":
		r.DeadLetter, r.Delay = false, new(time.Duration)
	case "later":
		r.DeadLetter, r.Delay = false, new(time.Hour)
	}
	n, err := m.broker.Nack(m.ctx, r)
	must(rt, err)
	if !r.DeadLetter {
		p.failures++
	}
	want := queue.NackRetry
	switch {
	case p.isDoomed:
		want = queue.NackCancelled
		p.place = "gone"
		p.reports(job.StatusCancelled)
	case r.DeadLetter || p.failures >= modelAttempts:
		want = queue.NackDead
		p.place = "dead"
		p.reports(job.StatusFailed)
	case how == "later":
		p.place = "delayed"
	default:
		p.place = "waiting"
	}
	if n.Outcome != want {
		rt.Fatalf("%s, want %s", n.Outcome, want)
	}
}

func (m *partsModel) crash(rt *rapid.T) {
	p := m.pick(rt, "leased")
	m.expire(m.t, p.lease.Lease)
	p.place = "expired"
}
