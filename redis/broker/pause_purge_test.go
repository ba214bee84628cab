package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A paused queue delivers nothing, while publishing and settling continue; Resume wakes waiting reads.
func TestPausedQueueDeliversNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "before"})
		d := b.readOne(t, "w")
		if err := b.broker.Pause(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		b.publish(t, job.Task{JobID: "after"})
		b.expire(t, d.Lease)
		if more, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "other", Max: 10, Wait: 100 * time.Millisecond}); err != nil || len(more) != 0 {
			t.Error("a paused queue delivered", more, err)
		}
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || time.Since(q.Paused) > time.Minute {
			t.Errorf("Queue: %+v, %v; want time.Since(q.Paused) <= time.Minute", q, err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error("a worker completes what it holds:", err)
		}
		waiting := make(chan []queue.Delivery, 1)
		go func() {
			d, _ := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: time.Minute})
			waiting <- d
		}()
		if err := b.broker.Resume(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		if d := <-waiting; len(d) != 1 || d[0].Task.JobID != "after" {
			t.Error(d)
		}
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || !q.Paused.IsZero() {
			t.Errorf("Queue: %+v, %v; want q.Paused.IsZero()", q, err)
		}
	})
}

// A purge removes what a queue has, except leased tasks, and cancels the jobs.
func TestPurgeRemovesAllButLeasedTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		leased := b.readOne(t, "w")
		b.expire(t, b.readOne(t, "vanished").Lease)
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "nonsense", "1"))
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "delayed"}, Delay: time.Hour}); err != nil {
			t.Fatal(err)
		}
		b.raw.ZAdd(b.ctx, b.key("argus_delayed:"+job.DefaultQueue), score(1e15, "nonsense"))
		p, err := b.broker.Purge(b.ctx, "")
		if err != nil || p != (admin.Purged{Waiting: 5, Delayed: 2, Leased: 1}) {
			t.Errorf("Purge: %+v, %v; want p == (admin.Purged{Waiting: 5, Delayed: 2, Leased: 1})", p, err)
		}
		for _, id := range []string{"job-1", "job-2", "job-3", "job-4", "delayed"} {
			b.events(t, id, "cancelled")
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 1 || b.pending(t) != 1 || b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val() != 0 {
			t.Error("left:", left)
		}
		if _, err := b.broker.Complete(b.ctx, leased.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Purge(b.ctx, "none"); !errors.Is(err, job.ErrQueueNotFound) {
			t.Errorf("Purge: %v; want the error ErrQueueNotFound", err)
		}
	})
}
