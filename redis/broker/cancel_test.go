package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// cancel cancels a job and checks where it was.
func (b *bundle) cancel(t *testing.T, id string, was job.Status) {
	t.Helper()
	c, err := b.broker.Cancel(b.ctx, id, "not needed")
	if err != nil || c.Was != was {
		t.Errorf("Cancel: %v, %v, want it %s", c, err, was)
	}
}

func TestCancelWaiting(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "waiting"}, State: &job.InitialState{}}); err != nil {
			t.Fatal(err)
		}
		b.publish(t, job.Task{JobID: "stateless"})
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "data", `{"job_id":"raw \u006aob"}`))
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "delayed"}, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		b.publish(t, job.Task{JobID: "other"})
		for _, id := range []string{"waiting", "stateless", "raw job", "delayed"} {
			b.cancel(t, id, job.StatusPending)
			b.events(t, id, "cancelled")
			b.cancel(t, id, job.StatusCancelled)
			b.events(t, id, "cancelled")
		}
		if s := b.hash(t, "job_state:waiting"); s["status"] != "cancelled" || s["cancel_reason"] != "not needed" || s["error_message"] != "not needed" {
			t.Error(s)
		}
		if n := b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val(); n != 0 {
			t.Error("the delayed task is left")
		}
		if d := b.readOne(t, "w"); d.Task.JobID != "other" {
			t.Error("a cancelled job was delivered:", d.Task.JobID)
		}
		if more := b.read(t, "w", 10); len(more) != 0 || len(b.stream(t, job.DefaultQueue)) != 1 {
			t.Error("left:", more, b.stream(t, job.DefaultQueue))
		}
		if _, err := b.broker.Cancel(b.ctx, "nobody", ""); !errors.Is(err, job.ErrJobNotFound) {
			t.Error(err)
		}
		if err := b.raw.ZScore(b.ctx, b.key("argus_jobs:cancelled"), "nobody").Err(); err == nil {
			t.Error("an unknown job is remembered as cancelled")
		}
		// What is published later is another run of the job.
		b.raw.ZAdd(b.ctx, b.key("argus_jobs:cancelled"), score(1, "stateless"))
		b.publish(t, job.Task{JobID: "stateless"})
		if d := b.readOne(t, "w"); d.Task.JobID != "stateless" {
			t.Error(d)
		}
	})
}

func TestCancelRunning(t *testing.T) {
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

// A cancel and a read race: the job ends once, and no worker has it after it ended.
func TestCancelRacesRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 50 {
			b.publish(t, job.Task{JobID: "job"})
			got := make(chan []queue.Delivery, 1)
			go func() {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w"})
				if err != nil {
					t.Error(err)
				}
				got <- d
			}()
			c, err := b.broker.Cancel(b.ctx, "job", "")
			if err != nil {
				t.Fatal(err)
			}
			d := <-got
			switch {
			case len(d) == 1 && c.Was != job.StatusRunning:
				t.Errorf("a worker has it, but it was %s", c.Was)
			case len(d) == 1:
				if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
					t.Error(err)
				}
				b.events(t, "job", "completed")
			default:
				b.read(t, "w", 1)
				b.events(t, "job", "cancelled")
			}
			b.raw.Del(b.ctx, b.key("argus_completion:job"), b.key("argus_jobs:cancelled"))
		}
	})
}

// What is published when Cancel has returned is another run of the job, however soon.
func TestPublishRightAfterACancellation(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 50 {
			b.publish(t, job.Task{JobID: "job"})
			d := b.readOne(t, "w")
			b.cancel(t, "job", job.StatusRunning)
			b.publish(t, job.Task{JobID: "job", ReportID: "next"})
			if next := b.read(t, "w", 1); len(next) != 1 || next[0].Task.ReportID != "next" {
				t.Fatal("the next run was not delivered:", next)
			}
			b.raw.Del(b.ctx, b.key(d.Lease.Queue), b.key("argus_completion:job"))
		}
	})
}

// A task that one group works on is running, though another has still to read it.
func TestCancelWhatOneOfTwoGroupsHas(t *testing.T) {
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
