package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// A part that died is redriven when the job has its result already: the result stays as it
// is.
func TestRedriveAfterTheResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "b"}); err != nil {
			t.Fatal(err)
		}
		st := func() map[string]string {
			s, err := b.broker.State(b.ctx, "job", nil)
			if err != nil {
				t.Fatal(err)
			}
			return s.Fields
		}
		before := st()
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil || !r.Already {
			t.Error(r, err)
		}
		b.events(t, "job", "running", "partial")
		if after := st(); fmt.Sprint(after) != fmt.Sprint(before) || after["status"] != "partial" {
			t.Error(before, after)
		}
	})
}

// An entry that can't be delivered, but says its job, ends it.
func TestMalformedEntryOfAJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		many := []any{"job_id", "many"}
		for i := range 1100 {
			many = append(many, fmt.Sprint("f", i), "x")
		}
		for id, values := range map[string][]any{"many": many, "huge": {"job_id", "huge", "x", strings.Repeat("x", 4<<20)},
			"name": {"job_id", "name", "\xff", "x"}} {
			b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), values...))
			b.readNothing(t, func() bool { return len(b.stream(t, job.DefaultQueue)) == 0 })
			b.events(t, id, "failed")
		}
	})
}

// Whoever cancels a job with parts is told what they do, and no part is left to wait for.
func TestCancelJobWithParts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "live", "expired", "waiting")
		if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: "job", OnConflict: state.ConflictReplace,
			InitialState: job.InitialState{Parts: []string{"live", "expired", "waiting", "delayed"}}}); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job", Part: "delayed"}, Delay: 60 * 24 * time.Hour}); err != nil {
				t.Fatal(err)
			}
		}
		live := b.readOne(t, "w")
		b.expire(t, b.readOne(t, "w").Lease)
		b.cancel(t, "job", job.StatusRunning)
		if r, err := b.broker.Complete(b.ctx, live.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "live"}); err != nil || r.Already {
			t.Error(r, err)
		}
		b.cancel(t, "job", job.StatusPartial)
		if n := b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val(); n != 0 || len(b.stream(t, job.DefaultQueue)) != 0 {
			t.Error(n, "delayed tasks are left, and", b.stream(t, job.DefaultQueue))
		}
	})
}

// A Cancel that comes with the result says which it was.
func TestCancelRacesComplete(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 100 {
			id := fmt.Sprint("job-", i)
			b.publish(t, job.Task{JobID: id})
			token := b.readOne(t, "w").Lease.Token()
			done := make(chan error, 1)
			go func() {
				_, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted})
				done <- err
			}()
			c, err := b.broker.Cancel(b.ctx, id, "")
			if err != nil || c.Was == job.StatusPending {
				t.Errorf("%+v, %v", c, err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			b.events(t, id, "completed")
		}
	})
}

// A later run of a job that was cancelled is not told to stop.
func TestRunAfterCancel(t *testing.T) {
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
			t.Error(x, err)
		}
		if info, err := b.broker.Job(b.ctx, "job"); err != nil || info.Cancelled {
			t.Error(info, err)
		}
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "data", `{"job_id":123}`))
		b.cancel(t, "123", job.StatusPending)
		b.readNothing(t, func() bool { return len(b.stream(t, job.DefaultQueue)) == 1 })
	})
}

// A key of another type under a queue's name spoils nothing else.
func TestQueueOfAWrongType(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.LPush(b.ctx, b.key("legacy"), "x")
		b.raw.SAdd(b.ctx, b.key("argus_queues:known"), "legacy")
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "legacy"}}); !errors.Is(err, job.ErrKeyType) {
			t.Error(err)
		}
		b.publish(t, job.Task{JobID: "job"})
		if q, _, err := b.broker.Queues(b.ctx, "", 10); err != nil || len(q) != 1 {
			t.Error(q, err)
		}
		if info, err := b.broker.Job(b.ctx, "job"); err != nil || info.Place.Where != queue.WhereWaiting {
			t.Error(info, err)
		}
		b.cancel(t, "job", job.StatusPending)
	})
}

// What is noted of releases goes with the tasks, and a task of a group that is no more goes
// to another.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 5 {
			b.publish(t, job.Task{})
		}
		for _, d := range b.read(t, "w", 5) {
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Release: true}); err != nil {
				t.Fatal(err)
			}
		}
		for range 4 {
			if _, err := b.broker.Ack(b.ctx, []string{b.readOne(t, "w").Lease.Token()}); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if n := len(b.hash(t, "argus_uncounted:"+job.DefaultQueue)); n != 1 {
			t.Error(n, "notes of one task")
		}
		b.raw.Del(b.ctx, b.key(job.DefaultQueue))
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "orphan", "argus_for_group", "no more"))
		if d := b.readOne(t, "w"); d.Task.JobID != "orphan" {
			t.Error(d)
		}
	})
}

// Many finished jobs can be published again to a queue of unique jobs, in one batch.
func TestUniqueBatchAgain(t *testing.T) {
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
			t.Error(err)
		}
		tasks = append(tasks[:150], tasks[151:]...)
		if err := publish(); err != nil {
			t.Error(err)
		}
	})
}

// A part of a job that has no parts is the whole job.
func TestPartOfAJobWithoutParts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for _, id := range []string{"purged", "done"} {
			b.publish(t, job.Task{JobID: id, Part: "a"})
		}
		done := b.read(t, "w", 2)[1]
		b.expire(t, job.Lease{Queue: done.Lease.Queue, Group: done.Lease.Group, Consumer: "w", Count: 1, EntryID: b.stream(t, job.DefaultQueue)[0].ID})
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 1 || p.Leased != 1 {
			t.Error(p, err)
		}
		b.events(t, "purged", "cancelled")
		if r, err := b.broker.Complete(b.ctx, done.Lease.Token(), job.Result{Status: job.StatusFailed, Part: "a"}); err != nil || r.Already {
			t.Error(r, err)
		}
		b.events(t, "done", "failed")
	})
}
