package broker_test

import (
	"slices"

	goredis "github.com/redis/go-redis/v9"
	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// redrive withdraws the report of the part's death, and its event if that ended the job.
func (m *partsModel) redrive(rt *rapid.T) {
	p := m.pick(rt, "dead")
	letters := m.stream(m.t, "argus_dead:"+job.DefaultQueue)
	i := slices.IndexFunc(letters, func(l goredis.XMessage) bool { return values(l)["report_id"] == p.id })
	if i < 0 {
		rt.Fatal("there is no dead letter of", p.id)
	}
	if n, err := m.broker.Redrive(m.ctx, "", false, []string{letters[i].ID}); err != nil || n != 1 {
		rt.Fatal(n, err)
	}
	p.place, p.crashes, p.failures = "waiting", 0, 0
	if cursor := values(letters[i])["argus_result"]; cursor != "" {
		p.status, p.report = "", nil
		if result := p.of.result(); result != nil && result.cursor == cursor {
			p.of.events = p.of.events[:len(p.of.events)-1]
		}
	}
}

func (m *partsModel) cancel(rt *rapid.T) {
	j := m.pickJob(rt)
	result := j.result()
	isLeased := slices.ContainsFunc(j.parts, func(p *modelPart) bool { return p.is("leased") })
	c, err := m.broker.Cancel(m.ctx, j.name, "")
	must(rt, err)
	want := job.StatusPending
	switch {
	case result != nil:
		want = result.status
	case isLeased:
		want = job.StatusRunning
	default:
		j.events = append(j.events, &partsEvent{status: job.StatusCancelled})
	}
	if c.Was != want {
		rt.Fatalf("it was %s, want %s", c.Was, want)
	}
	if result != nil {
		return
	}
	for _, p := range j.parts {
		p.isDoomed = true
	}
	m.settle(rt, func(p *modelPart) job.Status {
		p.place = "gone"
		return job.StatusCancelled
	})
	for _, p := range j.parts {
		if isLeased && p.is("waiting", "expired", "delayed") {
			rt.Fatalf("%s is %s, and no worker will report it", p.id, p.place)
		}
	}
}

func (m *partsModel) purge(rt *rapid.T) {
	_, err := m.broker.Purge(m.ctx, "")
	must(rt, err)
	m.settle(rt, func(p *modelPart) job.Status {
		p.place = "gone"
		return job.StatusCancelled
	})
	if left := m.parts(func(p *modelPart) bool { return p.is("waiting", "expired", "delayed") }); len(left) > 0 {
		rt.Fatalf("left: %#v", left)
	}
}

func (m *partsModel) time(*rapid.T) {
	m.travel(m.t)
	for _, p := range m.parts(func(p *modelPart) bool { return p.is("delayed") }) {
		p.place = "waiting"
	}
}

// lose removes a job's state, or the record of its parts, if the other one is whole.
func (m *partsModel) lose(rt *rapid.T) {
	j := m.pickJob(rt)
	state, record := m.key("job_state:"+j.name), m.key("argus_parts:"+j.name)
	if draw(rt, "what", "state", "record") == "record" {
		if m.raw.HExists(m.ctx, state, "argus_parts").Val() {
			must(rt, m.raw.Del(m.ctx, record).Err())
		}
		return
	}
	if !m.raw.HExists(m.ctx, record, "argus_parts").Val() {
		rt.Skip("the record is lost")
	}
	if draw(rt, "how", "deleted", "expired") == "deleted" {
		_, err := m.broker.DeleteState(m.ctx, j.name)
		must(rt, err)
	} else {
		must(rt, m.raw.Del(m.ctx, state).Err())
	}
	if rapid.Bool().Draw(rt, "rewritten") {
		must(rt, m.broker.SetState(m.ctx, j.name, map[string]string{"progress": "50"}, ""))
	}
}

// watch opens a watch after some event, or at the beginning.
func (m *partsModel) watch(rt *rapid.T) {
	if len(m.watches) == 4 {
		rt.Skip("there are enough watches")
	}
	j := m.pickJob(rt)
	w := &partWatch{job: j, seen: rapid.IntRange(0, len(j.events)).Draw(rt, "seen")}
	m.opens(rt, w)
	m.watches = append(m.watches, w)
}

func (m *partsModel) opens(rt *rapid.T, w *partWatch) {
	after := ""
	if w.seen > 0 {
		after = w.job.events[w.seen-1].cursor
	}
	watch, _, err := m.broker.Watch(m.ctx, w.job.name, after)
	must(rt, err)
	w.Watch = watch
}

func (m *partsModel) closeWatches() {
	for _, w := range m.watches {
		w.Close()
	}
}

// reopen is another server, with which the watches continue.
func (m *partsModel) reopen(rt *rapid.T) {
	m.closeWatches()
	m.restart(rt)
	for _, w := range m.watches {
		m.opens(rt, w)
	}
}

// check compares what is in Redis with the model, and has the watches see it.
func (m *partsModel) check(rt *rapid.T) {
	for _, j := range m.jobs {
		got := m.stream(m.t, "argus_completion:"+j.name)
		if len(got) != len(j.events) {
			rt.Fatalf("%s has the events %v, want %v", j.name, got, j.events)
		}
		for i := range j.events {
			e := job.DecodeEvent(j.name, got[i].ID, values(got[i]))
			if want := j.events[i]; want.status != e.Status || want.part != e.Part || want.cursor != "" && want.cursor != e.Cursor {
				rt.Fatalf("%s has the event %+v, want %+v", j.name, e, want)
			} else if want.cursor == "" {
				want.cursor = e.Cursor
				m.checkResult(rt, j, e)
			}
		}
	}
	m.watches = slices.DeleteFunc(m.watches, func(w *partWatch) bool { return m.sees(rt, w) })
}

// checkResult checks that the event by which the last part ended its job has the status of all parts,
// and that the state has the same.
func (m *partsModel) checkResult(rt *rapid.T, j *partsJob, e job.Event) {
	for _, p := range j.parts {
		if e.Status.Terminal() && e.Part != "" && e.Fields[p.name+"_status"] != string(p.status) {
			rt.Fatalf("%+v, but %s is %s", e, p.name, p.status)
		}
	}
	if s, err := m.broker.State(m.ctx, j.name, nil); e.Status.Terminal() && (err != nil || s.Status != e.Status) {
		rt.Fatal(s, err, "want", e.Status)
	}
}

// sees has a watch see what it has not seen; true when it has ended.
func (m *partsModel) sees(rt *rapid.T, w *partWatch) bool {
	for ; w.seen < len(w.job.events); w.seen++ {
		want := w.job.events[w.seen]
		e, err := w.Next(m.ctx, longWait)
		if err != nil || e == nil || e.Status != want.status || e.Part != want.part || e.Cursor != want.cursor {
			rt.Fatalf("a watch of %s received %+v %v, want %+v", w.job.name, e, err, want)
		}
	}
	isOver := w.job.result() != nil
	if w.Done() != isOver {
		rt.Fatalf("a watch of %s is done: %t", w.job.name, w.Done())
	}
	if isOver {
		w.Close()
	}
	return isOver
}

// drain has all parts report.
func (m *partsModel) drain(rt *rapid.T) {
	for live := true; live; {
		m.time(rt)
		for _, p := range m.parts(func(p *modelPart) bool { return p.is("leased", "expired") }) {
			m.completes(rt, p, job.StatusCompleted)
			m.check(rt)
		}
		deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Consumer: "drain", Max: job.MaxBatch})
		must(rt, err)
		m.took(rt, deliveries)
		m.check(rt)
		live = len(m.parts(func(p *modelPart) bool { return p.isLive() })) > 0
	}
	for _, j := range m.jobs {
		if j.result() == nil {
			rt.Fatalf("%s has no result: %#v", j.name, j.parts)
		}
	}
	if n := len(m.stream(m.t, job.DefaultQueue)); n > 0 {
		rt.Fatal(n, "entries are left")
	}
}
