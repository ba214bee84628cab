package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A raw worker's result is distinguished from that of an earlier run although both and the publish are in
// one millisecond.
func TestUniqueJobWithAResultInTheSameMillisecond(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		b.publishes(t, "new", true)
		id := b.rawRead(t, job.DefaultQueue, job.DefaultGroup)
		if len(id) != 1 {
			t.Fatal(id)
		}
		published := b.stream(t, job.DefaultQueue)[0].ID
		result := entry(b.key("argus_completion:job"), "status", "completed")
		result.ID = published // the same millisecond
		if err := b.raw.XAdd(b.ctx, result).Err(); err != nil {
			t.Fatal(err)
		}
		b.publishes(t, "a result, and the task is pending", false)
		b.raw.XAck(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup, published)
		await(t, b.ctx, func() bool { // a search that took long is not repeated at once
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}})
			return err == nil
		})
		b.publishes(t, "the result is of the run before", false)
	})
}

// A task that a raw producer added beside the job's own does not remove the job's mark.
func TestUniqueJobBesideARawProducersTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "job"))
		for ms := b.raw.Time(b.ctx).Val().UnixMilli(); b.raw.Time(b.ctx).Val().UnixMilli() == ms; {
		}
		b.publishes(t, "it has no mark", true)
		b.acks(t, b.readOne(t, "w"))
		b.publishes(t, "one of two is left", false)
		b.acks(t, b.readOne(t, "w"))
		b.publishes(t, "both are settled", true)
	})
}

// Many finished jobs can be published again to a queue of unique jobs, in one batch.
func TestFinishedUniqueJobsArePublishedAgainInABatch(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{UniqueJobs: true}, CompletionTTL: time.Minute})
		tasks := make([]job.Task, 200)
		for i := range tasks {
			tasks[i].JobID = fmt.Sprint("job-", i)
		}
		publish := func() error {
			_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks})
			return err
		}
		if err := publish(); err != nil {
			t.Fatal(err)
		}
		// Raw workers settle them, and leave the marks behind; all but one.
		b.rawWork(t, job.DefaultQueue, job.DefaultGroup)
		for b.pending(t) > 0 {
			b.rawWork(t, job.DefaultQueue, job.DefaultGroup)
		}
		for i, task := range tasks {
			e := entry(b.key("argus_completion:"+task.JobID), "status", "completed")
			e.ID = fmt.Sprint(time.Now().UnixMilli()+1000, "-0")
			if i == 150 {
				continue
			}
			b.raw.XAdd(b.ctx, e)
		}
		var active *job.JobError
		if err := publish(); !errors.As(err, &active) || active.JobID != "job-150" {
			t.Errorf(`publish: %v; want errors.As(err, &active) and active.JobID == "job-150"`, err)
		}
		tasks = append(tasks[:150], tasks[151:]...)
		if err := publish(); err != nil {
			t.Error(err)
		}
	})
}

// A queue of unique jobs refuses a second task of a job until the first is settled.
func TestUniqueJobIsRefusedWhileActive(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{job.DefaultQueue: {UniqueJobs: true}}})
		publish := func(jobs ...string) error {
			var tasks []job.Task
			for _, id := range jobs {
				tasks = append(tasks, job.Task{JobID: id})
			}
			_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks})
			return err
		}
		want := func(when string, err, is error) {
			t.Helper()
			if !errors.Is(err, is) {
				t.Errorf("%s: %v, want %v", when, err, is)
			}
		}
		want("new", publish("a", "b"), nil)
		want("waiting", publish("c", "a"), job.ErrJobActive)
		want("twice in a batch", publish("d", "d"), job.ErrInvalid)
		if n := len(b.stream(t, job.DefaultQueue)); n != 2 {
			t.Error(n, "entries")
		}
		a, second := b.readOne(t, "w"), b.readOne(t, "w")
		want("leased", publish("a"), job.ErrJobActive)
		want("requeued", b.nack(now(a, "")), nil)
		want("requeued", publish("a"), job.ErrJobActive)
		a = b.readOne(t, "w")
		if _, err := b.broker.Complete(b.ctx, a.Lease.Token(), job.Result{Status: job.StatusFailed}); err != nil {
			t.Fatal(err)
		}
		want("finished", publish("a"), nil)
		want("again, with an old result", publish("a"), job.ErrJobActive)
		if r, err := b.broker.Ack(b.ctx, []string{second.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Fatalf("Ack: %+v, %v; want r[0].Outcome == queue.Acked", r, err)
		}
		want("acknowledged", publish("b"), nil)
		later := entry(b.key("argus_completion:b"), "data", `{"status":"completed"}`)
		later.ID = fmt.Sprint(time.Now().UnixMilli()+1000, "-0")
		want("by a raw peer, in JSON", b.raw.XAdd(b.ctx, later).Err(), nil)
		want("a result, and its task is unsettled", publish("b"), job.ErrJobActive)
		b.rawWork(t, job.DefaultQueue, job.DefaultGroup)
		await(t, b.ctx, func() bool { return publish("b") == nil })
	})
}
