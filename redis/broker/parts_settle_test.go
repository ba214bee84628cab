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

// A part has one result, reported with or without a lease. A part of another name or without a terminal
// status is refused.
func TestPartHasOneResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b", "c")
		one := b.readOne(t, "w")
		for _, part := range []string{"x", "a b"} {
			if _, err := b.broker.Complete(b.ctx, one.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: part}); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("Complete of the part %q: %v; want the error ErrInvalid", part, err)
			}
		}
		if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning, Part: "a"}); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("Report of a running part: %v; want the error ErrInvalid", err)
		}
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil || r.Already {
			t.Fatalf("the first report: %+v, %v; want it recorded", r, err)
		}
		if r, err := b.broker.Complete(b.ctx, one.Lease.Token(), job.Result{Status: job.StatusFailed, Part: "a"}); err != nil || !r.Already {
			t.Errorf("the second report: %+v, %v; want the first one's result", r, err)
		}
	})
}

// A dead letter fails its part, and a redrive withdraws that; a purge cancels the part, and a result of the
// whole job ends all of them.
func TestPartFollowsItsTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b", "c")
		state := func(when string, want map[string]string) {
			t.Helper()
			got := b.hash(t, "job_state:job")
			for field, value := range want {
				if got[field] != value {
					t.Errorf("%s: %s is %q, want %q", when, field, got[field], value)
				}
			}
		}
		if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil || r.Already {
			t.Fatalf("Complete: %+v, %v; want it recorded", r, err)
		}
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
		state("b is dead", map[string]string{"a_status": "completed", "b_status": "failed", "c_status": "pending", "status": "running"})
		b.events(t, "job", "running", "running")
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Fatalf("Redrive: %d, %v; want 1", n, err)
		}
		b.events(t, "job", "running", "running") // the part's event remains: watches have it
		c := b.readOne(t, "w")
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Waiting != 1 || p.Leased != 1 {
			t.Fatalf("Purge: %+v, %v; want 1 waiting and 1 leased", p, err)
		}
		state("b is purged", map[string]string{"b_status": "cancelled"})
		if r, err := b.broker.Complete(b.ctx, c.Lease.Token(), job.Result{Status: job.StatusFailed}); err != nil || r.Already {
			t.Errorf("Complete of the whole job: %+v, %v; want it recorded", r, err)
		}
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted, Part: "c"}); err != nil || !r.Already {
			t.Errorf("Report of a part afterwards: %+v, %v; want the job's result", r, err)
		}
		b.events(t, "job", "running", "running", "running", "failed")
	})
}

// A part that the job doesn't have ends nothing.
func TestDeathOfAnUnknownPartEndsNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
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
	})
}

// Bad names and numbers of parts are refused.
func TestPartsOfAStateAreValidated(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for field, parts := range map[string][]string{"parts[1]": {"a", "a"}, "parts[0]": {"a="}, "parts": make([]string, 65)} {
			_, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: "bad", InitialState: job.InitialState{Parts: parts}})
			var bad *job.ArgumentError
			if !errors.As(err, &bad) || bad.Field != field {
				t.Errorf("%d parts: %v, want an error about %s", len(parts), err, field)
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
			t.Errorf("Complete: %+v, %v; want !r.Already", r, err)
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
			t.Errorf("Purge: %+v, %v; want p.Waiting == 1 and p.Leased == 1", p, err)
		}
		b.events(t, "purged", "cancelled")
		if r, err := b.broker.Complete(b.ctx, done.Lease.Token(), job.Result{Status: job.StatusFailed, Part: "a"}); err != nil || r.Already {
			t.Errorf("Complete: %+v, %v; want !r.Already", r, err)
		}
		b.events(t, "done", "failed")
	})
}
