package broker_test

import (
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestCancelOfALeasedTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		channel := b.raw.Subscribe(b.ctx, b.key("argus_cancel:reports"))
		defer channel.Close()
		if _, err := channel.Receive(b.ctx); err != nil {
			t.Fatal(err)
		}
		take := func(id string) queue.Delivery {
			t.Helper()
			b.publish(t, job.Task{JobID: id})
			d := b.readOne(t, "w")
			b.cancel(t, id, job.StatusRunning)
			b.cancel(t, id, job.StatusRunning)
			b.events(t, id)
			if x, err := b.broker.Extend(b.ctx, d.Lease.Token(), nil); err != nil || !x.Cancelled {
				t.Error("Extend does not tell it:", x, err)
			}
			return d
		}
		// It may still report what it has.
		d := take("reports")
		if m, err := channel.ReceiveMessage(b.ctx); err != nil || m.Payload != "not needed" {
			t.Error("raw workers were told", m, err)
		}
		if r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusPartial}); err != nil || r.Already {
			t.Error(r, err)
		}
		b.events(t, "reports", "partial")
		b.cancel(t, "reports", job.StatusPartial)
		// It is never retried: neither when it is given back, ...
		d = take("gives back")
		if n, err := b.broker.Nack(b.ctx, now(d, "")); err != nil || n.Outcome != queue.NackCancelled {
			t.Error(n, err)
		}
		b.events(t, "gives back", "cancelled")
		d = take("gives up")
		if n, err := b.broker.Nack(b.ctx, queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true}); err != nil || n.Outcome != queue.NackCancelled {
			t.Error(n, err)
		}
		b.events(t, "gives up", "cancelled")
		// ... nor when its worker vanishes, whether it was cancelled before or after.
		b.expire(t, take("vanishes").Lease)
		b.publish(t, job.Task{JobID: "expired"})
		b.expire(t, b.readOne(t, "w").Lease)
		b.cancel(t, "expired", job.StatusPending)
		b.readNothing(t, func() bool { return b.pending(t) == 0 })
		b.events(t, "vanishes", "cancelled")
		b.events(t, "expired", "cancelled")
		if n := len(b.stream(t, job.DefaultQueue)); n != 0 || b.pending(t) != 0 {
			t.Error(n, "entries are left")
		}
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
			t.Error(info, err)
		}
		b.cancel(t, "job", job.StatusRunning)
		b.events(t, "job")
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		b.events(t, "job", "completed")
		if d := read("two"); len(d) != 0 {
			t.Error("the other group is given it:", d)
		}
	})
}
