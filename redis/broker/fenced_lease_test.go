package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A worker whose lease expired and went to another one can settle, extend and write nothing, neither while
// the other works nor afterwards.
func TestWorkerThatLostItsLeaseWritesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		late := b.readOne(t, "late")
		b.expire(t, late.Lease)
		b.broker = b.open(t, job.Settings{})
		next := b.readOne(t, "next")
		if next.Attempt != 2 || next.Lease.EntryID != late.Lease.EntryID {
			t.Fatalf("attempt %d of %s, want 2 of %s", next.Attempt, next.Lease.EntryID, late.Lease.EntryID)
		}
		lateToken := late.Lease.Token()
		lost := func(when string) {
			t.Helper()
			if _, err := b.broker.Complete(b.ctx, lateToken, job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Complete: %v", when, err)
			}
			if _, err := b.broker.Extend(b.ctx, lateToken, map[string]string{"x": "late"}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Extend: %v", when, err)
			}
			if err := b.nack(queue.NackRequest{Token: lateToken}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Nack: %v", when, err)
			}
			if err := b.broker.SetState(b.ctx, "job", map[string]string{"x": "late"}, lateToken); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: SetState: %v", when, err)
			}
		}
		lost("while the other works")
		if r, err := b.broker.Ack(b.ctx, []string{lateToken}); err != nil || r[0].Outcome != queue.LeaseLost {
			t.Error("Ack:", r, err)
		}
		if _, err := b.broker.Complete(b.ctx, next.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		lost("after the other completed")
		if r, err := b.broker.Ack(b.ctx, []string{lateToken, "garbage"}); err != nil || r[0].Outcome != queue.NotPending || r[1].Outcome != queue.Invalid {
			t.Error("Ack:", r, err)
		}
		if s := b.hash(t, "job_state:job"); s["status"] != "completed" || s["x"] != "" {
			t.Error("state", s)
		}
		if events := b.stream(t, "argus_completion:job"); len(events) != 1 || events[0].Values["status"] != "completed" {
			t.Error("events", events)
		}
	})
}

// A raw peer's XCLAIM with JUSTID takes a task over without counting a delivery; the lease ends nevertheless.
func TestLeaseEndsWhenARawPeerClaimsTheTask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		raw := d.Lease
		raw.Consumer = "raw"
		if err := b.xclaim(raw, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
			t.Errorf("Complete: %v; want the error ErrLeaseLost", err)
		}
	})
}

// An entry that was deleted while it was leased does not keep the next expired one from delivery.
func TestEntryDeletedWhileLeasedIsForgotten(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		b.publish(t, job.Task{JobID: "b"})
		for _, d := range b.read(t, "w", 2) {
			b.expire(t, d.Lease)
			if d.Task.JobID == "a" {
				b.raw.XDel(b.ctx, b.key(job.DefaultQueue), d.Lease.EntryID)
			}
		}
		b.broker = b.open(t, job.Settings{})
		if d := b.readOne(t, "v"); d.Task.JobID != "b" {
			t.Error("got", d.Task.JobID)
		}
		if n := b.pending(t); n != 1 {
			t.Error(n, "pending")
		}
	})
}

// Extend renews even an expired lease while no other worker has the task, writes progress, reports a
// cancellation, and leaves the token valid.
func TestExtendRenewsTheLeaseAndWritesProgress(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		b.expire(t, d.Lease)
		x, err := b.broker.Extend(b.ctx, d.Lease.Token(), map[string]string{"progress": "50"})
		if err != nil || x.Cancelled || time.Until(x.ExpiresAt) < job.DefaultLease/2 {
			t.Fatalf("Extend: %+v, %v; want !x.Cancelled and time.Until(x.ExpiresAt) >= job.DefaultLease/2", x, err)
		}
		if got := b.hash(t, "job_state:job")["progress"]; got != "50" {
			t.Error("progress", got)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 {
			t.Error("a state that Extend made lives", ttl)
		}
		b.broker = b.open(t, job.Settings{})
		if taken := b.read(t, "thief", 1); len(taken) != 0 {
			t.Error("an extended lease was taken")
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "cancelled")
		if x, err := b.broker.Extend(b.ctx, d.Lease.Token(), nil); err != nil || !x.Cancelled {
			t.Error("cancelled:", x, err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCancelled}); err != nil {
			t.Error("the token is the same after extending:", err)
		}
	})
}
