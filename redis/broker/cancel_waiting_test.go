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

// A job whose task waits or is delayed ends at once as cancelled, and its task is not delivered. A later
// publish is another run.
func TestCancelOfATaskThatWaits(t *testing.T) {
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
		if _, err := b.broker.Cancel(b.ctx, "unknown", ""); !errors.Is(err, job.ErrJobNotFound) {
			t.Errorf("Cancel: %v; want the error ErrJobNotFound", err)
		}
		if err := b.raw.ZScore(b.ctx, b.key("argus_jobs:cancelled"), "unknown").Err(); err == nil {
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

// A run that is published after its job was cancelled is not reported as cancelled.
func TestRunAfterACancellationIsNotCancelled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		first := b.readOne(t, "w")
		b.cancel(t, "job", job.StatusRunning)
		if _, err := b.broker.Ack(b.ctx, []string{first.Lease.Token()}); err != nil {
			t.Fatal(err)
		}
		b.raw.ZIncrBy(b.ctx, b.key("argus_jobs:cancelled"), -1000, "job") // a second ago
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		if x, err := b.broker.Extend(b.ctx, d.Lease.Token(), nil); err != nil || x.Cancelled {
			t.Errorf("Extend: %+v, %v; want !x.Cancelled", x, err)
		}
		if info, err := b.broker.Job(b.ctx, "job"); err != nil || info.Cancelled {
			t.Errorf("Job: %+v, %v; want !info.Cancelled", info, err)
		}
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "data", `{"job_id":123}`))
		b.cancel(t, "123", job.StatusPending)
		b.readNothing(t, func() bool { return len(b.stream(t, job.DefaultQueue)) == 1 })
	})
}

// A task that is published after Cancel returned is another run, however soon.
func TestPublishRightAfterACancellationIsDelivered(t *testing.T) {
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
