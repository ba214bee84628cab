package broker_test

import (
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// cancelLeased publishes a job, leases its task and cancels the job, twice. The job has no event then, and
// its worker learns of the cancellation when it extends the lease.
func (b *bundle) cancelLeased(t *testing.T, id string) queue.Delivery {
	t.Helper()
	b.publish(t, job.Task{JobID: id})
	d := b.readOne(t, "w")
	b.cancel(t, id, job.StatusRunning)
	b.cancel(t, id, job.StatusRunning)
	b.events(t, id)
	if x, err := b.broker.Extend(b.ctx, d.Lease.Token(), nil); err != nil || !x.Cancelled {
		t.Errorf("%s: Extend after the cancellation: %+v, %v, want Cancelled", id, x, err)
	}
	return d
}

// nothingLeft checks that the default queue has neither entries nor leases.
func (b *bundle) nothingLeft(t *testing.T) {
	t.Helper()
	if n, pending := len(b.stream(t, job.DefaultQueue)), b.pending(t); n != 0 || pending != 0 {
		t.Errorf("%d entries and %d pending are left, want none", n, pending)
	}
}

// A worker of a cancelled job may still report its result, which counts. Raw workers receive the
// cancellation on a channel.
func TestWorkerOfACancelledJobMayReport(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		channel := b.raw.Subscribe(b.ctx, b.key("argus_cancel:job"))
		defer channel.Close()
		if _, err := channel.Receive(b.ctx); err != nil {
			t.Fatal(err)
		}
		d := b.cancelLeased(t, "job")
		if m, err := channel.ReceiveMessage(b.ctx); err != nil || m.Payload != "not needed" {
			t.Error("the channel has", m, err, "want the reason")
		}
		if r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusPartial}); err != nil || r.Already {
			t.Errorf("Complete after the cancellation: %+v, %v, want the result recorded", r, err)
		}
		b.events(t, "job", "partial")
		b.cancel(t, "job", job.StatusPartial)
		b.nothingLeft(t)
	})
}

// A cancelled job is not retried when its worker returns the task: it ends as cancelled.
func TestReturnedTaskOfACancelledJobIsDropped(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for id, request := range map[string]queue.NackRequest{"requeued": now(queue.Delivery{}, ""), "rejected": {DeadLetter: true}} {
			request.Token = b.cancelLeased(t, id).Lease.Token()
			if n, err := b.broker.Nack(b.ctx, request); err != nil || n.Outcome != queue.NackCancelled {
				t.Errorf("%s: outcome %s, %v, want %s", id, n.Outcome, err, queue.NackCancelled)
			}
			b.events(t, id, "cancelled")
		}
		b.nothingLeft(t)
	})
}

// A cancelled job is not retried when its worker vanishes, whether it was cancelled before its lease
// expired or afterwards.
func TestExpiredTaskOfACancelledJobIsDropped(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.expire(t, b.cancelLeased(t, "before").Lease)
		b.publish(t, job.Task{JobID: "afterwards"})
		b.expire(t, b.readOne(t, "w").Lease)
		b.cancel(t, "afterwards", job.StatusPending)
		b.readNothing(t, func() bool { return b.pending(t) == 0 })
		b.events(t, "before", "cancelled")
		b.events(t, "afterwards", "cancelled")
		b.nothingLeft(t)
	})
}

// A job is running while one group has its task, although another group has still to read it.
func TestCancelWhileOneOfTwoGroupsHasTheTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{"one", "two"}}})
		read := func(group string) []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 1})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		b.publish(t, job.Task{JobID: "first"})
		read("one")
		read("two")
		b.publish(t, job.Task{JobID: "job"})
		d := read("one")
		if info, err := b.broker.Job(b.ctx, "job"); err != nil || info.Place.Where != queue.WhereLeased || info.Place.Group != "one" {
			t.Errorf(`Job: %+v, %v; want info.Place.Where == queue.WhereLeased and info.Place.Group == "one"`, info, err)
		}
		b.cancel(t, "job", job.StatusRunning)
		b.events(t, "job")
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		b.events(t, "job", "completed")
		if d := read("two"); len(d) != 0 {
			t.Error("the other group got the task of a job that has ended:", d)
		}
	})
}
