package broker_test

import (
	"errors"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A released task is leased to no consumer: no worker can use the name under which it lies in the group,
// and no token can be made for it.
func TestReleasedTaskHasNoLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Release: true}); err != nil {
			t.Fatal(err)
		}
		pending := b.raw.XPendingExt(b.ctx, pendingOf(b.key(job.DefaultQueue), job.DefaultGroup)).Val()
		if len(pending) != 1 {
			t.Fatal(pending)
		}
		result := job.Result{Status: job.StatusCompleted}
		for _, consumer := range []string{pending[0].Consumer, "argus-released"} {
			for _, own := range []bool{false, true} {
				if _, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, OwnPending: own}); !errors.Is(err, job.ErrInvalid) {
					t.Errorf("a worker may be called %q: %v", consumer, err)
				}
			}
			forged := d.Lease
			forged.Consumer, forged.Count = consumer, int(pending[0].RetryCount)
			if r, err := b.broker.Complete(b.ctx, forged.Token(), result); !errors.Is(err, job.ErrLeaseToken) {
				t.Errorf("a token of %q: %v, %v", consumer, r, err)
			}
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), result); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("the token of the released lease:", err)
		}
		if consumers, err := b.broker.Consumers(b.ctx, "", ""); err != nil || len(consumers) != 1 || consumers[0].Name != "w" {
			t.Error("want the consumer w only, got", consumers, err)
		}
		again := b.readOne(t, "w")
		if again.Attempt != 1 || again.Lease.Count != 2 {
			t.Errorf("attempt %d, delivery %d", again.Attempt, again.Lease.Count)
		}
		if _, err := b.broker.Complete(b.ctx, again.Lease.Token(), result); err != nil {
			t.Error(err)
		}
	})
}

// A release counts neither as an attempt nor as a failure, and the task keeps its place.
func TestReleaseCountsNoAttempt(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxAttempts: 1, MaxCrashes: 1}})
		for _, id := range []string{"first", "second"} {
			b.publish(t, job.Task{JobID: id})
		}
		for range 3 {
			d := b.readOne(t, "w")
			if d.Task.JobID != "first" || d.Attempt != 1 {
				t.Fatalf("%s, attempt %d", d.Task.JobID, d.Attempt)
			}
			if n, err := b.broker.Nack(b.ctx, queue.NackRequest{Token: d.Lease.Token(), Release: true}); err != nil || n.Outcome != queue.NackRetry {
				t.Fatalf("Nack: %+v, %v; want n.Outcome == queue.NackRetry", n, err)
			}
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Release: true}); !errors.Is(err, job.ErrLeaseLost) {
				t.Error("released twice:", err)
			}
		}
	})
}

// The cleaner removes the notes of releases of tasks that are settled, and a task for a group that does
// not exist goes to another group.
func TestNotesOfReleasesEndWithTheirTasks(t *testing.T) {
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
