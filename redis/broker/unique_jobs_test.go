package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// uniqueBundle has a default queue of unique jobs.
type uniqueBundle struct{ *bundle }

func setupUnique(t *testing.T, e redistest.Engine) uniqueBundle {
	t.Helper()
	return uniqueBundle{setup(t, e, job.Settings{Queue: job.QueueSettings{UniqueJobs: true, Groups: job.Groups{job.AnyGroup}}})}
}

// publishes publishes a task of the job, which is to be accepted or refused.
func (b uniqueBundle) publishes(t *testing.T, when string, isAccepted bool) {
	t.Helper()
	_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}})
	if (err == nil) != isAccepted || err != nil && !errors.Is(err, job.ErrJobActive) {
		t.Fatalf("%s: publish: %v, want it to be accepted: %t", when, err, isAccepted)
	}
}

func (b uniqueBundle) completes(t *testing.T, d queue.Delivery, isSecond bool) {
	t.Helper()
	r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted})
	if err != nil || r.Already != isSecond {
		t.Fatalf("Complete: %+v, %v; want r.Already == isSecond", r, err)
	}
}

func (b uniqueBundle) acks(t *testing.T, d queue.Delivery) {
	t.Helper()
	if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
		t.Fatalf("Ack: %+v, %v; want r[0].Outcome == queue.Acked", r, err)
	}
}

// A job is active as long as one of its tasks is unsettled, however it is settled, and in every run.
func TestUniqueJobIsActiveWhileItsTaskIsUnsettled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		dies := func(d queue.Delivery) {
			t.Helper()
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
		}
		b.publishes(t, "new", true)
		b.completes(t, b.readOne(t, "w"), false)
		b.publishes(t, "completed", true)
		b.completes(t, b.readOne(t, "w"), true)
		b.publishes(t, "completed a second time, without a second result", true)
		d := b.readOne(t, "w")
		if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		b.publishes(t, "reported without the lease, and still leased", false)
		dies(d)
		b.publishes(t, "dead", true)
		dies(b.readOne(t, "w"))
		b.publishes(t, "dead a second time", true)
		b.publishes(t, "waiting", false)
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), Delay: new(time.Hour)}); err != nil {
			t.Fatal(err)
		}
		b.publishes(t, "postponed", false)
		if p, err := b.broker.Purge(b.ctx, ""); err != nil || p.Delayed != 1 {
			t.Fatalf("Purge: %+v, %v; want p.Delayed == 1", p, err)
		}
		b.publishes(t, "purged", true)
		b.publishes(t, "waiting again", false)
	})
}

// A redrive marks the job active again, and adds no second task.
func TestRedriveMarksAUniqueJobActive(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		for range 2 {
			b.publishes(t, "dead letters are settled", true)
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
		}
		letters, err := b.broker.DeadLetters(b.ctx, "", "", 10)
		if err != nil || len(letters) != 2 {
			t.Fatalf("DeadLetters: %+v, %v; want len(letters) == 2", letters, err)
		}
		redrive := func(i int) (int, error) { return b.broker.Redrive(b.ctx, "", false, []string{letters[i].ID}) }
		if n, err := redrive(0); n != 1 || err != nil {
			t.Fatalf("redrive: %+v, %v; want n == 1", n, err)
		}
		b.publishes(t, "redriven", false)
		if n, err := redrive(1); n != 0 || !errors.Is(err, job.ErrJobActive) {
			t.Error("the second dead letter of the job:", n, err)
		}
		b.completes(t, b.readOne(t, "w"), false)
		if n, err := redrive(1); n != 1 || err != nil {
			t.Error("when the first is settled:", n, err)
		}
	})
}

// With several groups a job is active until the last of them has settled its task.
func TestUniqueJobIsActiveUntilAllGroupsSettled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		read := func(group string) queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 1})
			if err != nil || len(d) != 1 {
				t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
			}
			return d[0]
		}
		b.publishes(t, "new", true)
		one, two := read("one"), read("two")
		b.acks(t, one)
		b.publishes(t, "settled by one of two", false)
		if err := b.nack(queue.NackRequest{Token: two.Lease.Token(), Delay: new(time.Duration)}); err != nil {
			t.Fatal(err)
		}
		b.publishes(t, "requeued by the other", false)
		b.acks(t, read("two"))
		b.publishes(t, "settled by both", true)

		one, two = read("one"), read("two")
		if err := b.nack(queue.NackRequest{Token: one.Lease.Token(), Delay: new(time.Duration)}); err != nil {
			t.Fatal(err)
		}
		b.acks(t, two)
		b.publishes(t, "settled by one, requeued by the other before", false)
		b.acks(t, read("one"))
		b.publishes(t, "settled by both in the end", true)
	})
}

// A cancelled job can be published again at once. What is left of the cancelled task does not remove the
// mark of the new one, and where nothing is left the mark is removed.
func TestUniqueJobCanBePublishedAfterItsCancellation(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, delay := range []time.Duration{0, time.Hour} {
			b := setupUnique(t, e)
			b.raw.Del(b.ctx, b.key(job.DefaultQueue), b.key("argus_completion:job"))
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}, Delay: delay})
			if err != nil {
				t.Fatal(err)
			}
			b.cancel(t, "job", job.StatusPending)
			if hasMark := b.raw.Exists(b.ctx, b.key("argus_active:job")).Val() == 1; hasMark != (delay == 0) {
				t.Error(delay, "the mark is left:", hasMark)
			}
			b.publishes(t, "cancelled", true)
			d := b.readOne(t, "w")
			b.publishes(t, "the cancelled task was settled, and the new one is leased", false)
			b.completes(t, d, true)
			b.publishes(t, "settled", true)
			b.completes(t, b.readOne(t, "w"), true)
			if b.raw.Exists(b.ctx, b.key("argus_active:job")).Val() == 1 {
				t.Error("the mark is left")
			}
		}
	})
}
