package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

func TestPartHasOneResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b", "c")
		one := b.readOne(t, "w")
		for _, part := range []string{"x", "a b"} {
			if _, err := b.broker.Complete(b.ctx, one.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: part}); !errors.Is(err, job.ErrInvalid) {
				t.Error(err)
			}
		}
		if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning, Part: "a"}); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
		// A part has one result, reported with or without a lease.
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil || r.Already {
			t.Fatal(r, err)
		}
		if r, err := b.broker.Complete(b.ctx, one.Lease.Token(), job.Result{Status: job.StatusFailed, Part: "a"}); err != nil || !r.Already {
			t.Error(r, err)
		}
		// A dead letter fails its part, a redrive takes that back, ...
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
		if s := b.hash(t, "job_state:job"); s["a_status"] != "completed" || s["b_status"] != "failed" || s["c_status"] != "pending" || s["status"] != "running" {
			t.Error(s)
		}
		b.events(t, "job", "running", "running")
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b.events(t, "job", "running", "running") // the part's event stays: watches have it
		// ... a purge cancels it, ...
		c := b.readOne(t, "w")
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 1 || p.Leased != 1 {
			t.Fatal(p, err)
		}
		if s := b.hash(t, "job_state:job"); s["b_status"] != "cancelled" {
			t.Error(s)
		}
		// ... and a result of the whole job ends them all.
		if r, err := b.broker.Complete(b.ctx, c.Lease.Token(), job.Result{Status: job.StatusFailed}); err != nil || r.Already {
			t.Error(r, err)
		}
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted, Part: "c"}); err != nil || !r.Already {
			t.Error(r, err)
		}
		b.events(t, "job", "running", "running", "running", "failed")
		// A part that the job doesn't have ends nothing.
		b.withParts(t, "other", "a")
		b.publish(t, job.Task{JobID: "other", Part: "x"})
		b.publish(t, job.Task{JobID: "whole", Part: "x"}) // this job has no parts
		b.readOne(t, "w")
		for range 2 {
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
		}
		b.events(t, "other")
		b.events(t, "whole", "failed")
		for field, parts := range map[string][]string{"parts[1]": {"a", "a"}, "parts[0]": {"a="}, "parts": make([]string, 65)} {
			_, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: "bad", InitialState: job.InitialState{Parts: parts}})
			var bad *job.ArgumentError
			if !errors.As(err, &bad) || bad.Field != field {
				t.Error(field, err)
			}
		}
	})
}

// The cancellation of a job with parts reports what they do, and leaves no part to wait for.
func TestCancelOfAJobWithParts(t *testing.T) {
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

// A part of a job that has no parts is the whole job.
func TestPartOfAJobWithoutPartsIsTheJob(t *testing.T) {
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
