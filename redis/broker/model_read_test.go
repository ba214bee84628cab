package broker_test

import (
	"maps"
	"slices"

	"pgregory.net/rapid"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// read takes what there is. Expired leases may be looked for a little later.
func (m *model) read(rt *rapid.T) {
	deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Consumer: draw(rt, "consumer", "w1", "w2"), Max: rapid.IntRange(1, 5).Draw(rt, "max")})
	must(rt, err)
	m.settleUnwanted()
	m.took(rt, deliveries, "waiting", "expired")
}

// heldBy are the tasks that a consumer holds.
func (m *model) heldBy(consumer string) (tasks []*modelTask) {
	for _, task := range m.tasks {
		if task.is("leased", "expired") && task.lease.Lease.Consumer == consumer {
			tasks = append(tasks, task)
		}
	}
	return tasks
}

// held is what a consumer that comes back under its name is said to hold.
func (m *model) held(rt *rapid.T) {
	consumer := draw(rt, "consumer", "w1", "w2")
	held, err := m.broker.Held(m.ctx, "", "", consumer)
	must(rt, err)
	want := make(map[queue.Entry]queue.HeldLease)
	for _, task := range m.heldBy(consumer) {
		l := task.lease.Lease
		want[queue.Entry{Prefix: m.engine.Prefix, ID: l.EntryID}] = queue.HeldLease{Count: l.Count, HasExpired: task.place == "expired"}
	}
	if !maps.Equal(held.Leases, want) || !held.IsComplete {
		rt.Fatalf("%s holds %v, want %v", consumer, held, want)
	}
}

// own is such a consumer's read of it.
func (m *model) own(rt *rapid.T) {
	consumer := draw(rt, "consumer", "w1", "w2")
	held := m.heldBy(consumer)
	deliveries, err := m.broker.Read(m.ctx, queue.ReadRequest{Consumer: consumer, Max: job.MaxBatch, OwnPending: true})
	must(rt, err)
	m.settleUnwanted()
	held = slices.DeleteFunc(held, func(t *modelTask) bool { return !t.isLive() })
	if len(deliveries) != len(held) {
		rt.Fatalf("%s got %d tasks of its own, want %d", consumer, len(deliveries), len(held))
	}
	for _, d := range deliveries {
		if !slices.Contains(held, m.task(d.Task.ReportID)) {
			rt.Fatalf("%s did not hold %+v", consumer, d)
		}
	}
	m.took(rt, deliveries, "leased", "expired")
}

func (m *model) task(id string) *modelTask {
	if i := slices.IndexFunc(m.tasks, func(t *modelTask) bool { return t.id == id }); i >= 0 {
		return m.tasks[i]
	}
	return nil
}

// took leases what a read gave, which may come from some places.
func (m *model) took(rt *rapid.T, deliveries []queue.Delivery, from ...string) {
	for _, d := range deliveries {
		task := m.task(d.Task.ReportID)
		switch {
		case task == nil:
			rt.Fatalf("a task that was not published: %+v", d)
		case !task.is(from...):
			rt.Fatalf("%s was delivered, but it is %s", task.id, task.place)
		case task.isDoomed:
			rt.Fatalf("%s was delivered, but it was cancelled", task.id)
		}
		if !task.is("waiting") {
			task.crashes++
		}
		if d.Attempt != 1+task.crashes+task.failures || d.Failures != task.failures {
			rt.Fatalf("%s: attempt %d with %d failures, want %d and %d", task.id, d.Attempt, d.Failures, 1+task.crashes+task.failures, task.failures)
		}
		task.leaves("leased")
		task.lease = d
	}
}

// settleUnwanted brings the model to what a read does with tasks that no consumer gets: it may
// have come to them or not. Of a job without a result the first gives it, whichever that is.
func (m *model) settleUnwanted() {
	results := make(map[*modelJob]*modelEvent)
	for _, task := range m.tasks {
		isUnwanted := task.is("waiting", "leased", "expired") && task.isDoomed || task.isPoison()
		if !isUnwanted || m.find(task.id) != "" {
			continue
		}
		place, status := "dead", "failed"
		if task.isDoomed {
			place, status = "gone", "cancelled"
		}
		if first := results[task.job]; first != nil {
			first.status = append(first.status, status)
		} else if task.job.result() == nil {
			m.event(task.job, status)
			results[task.job] = task.job.result()
		}
		task.leaves(place)
	}
}
