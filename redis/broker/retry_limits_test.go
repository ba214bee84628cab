package broker_test

import (
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// letter is the one dead letter of the default queue.
func (b *bundle) letter(t *testing.T) admin.DeadLetter {
	t.Helper()
	letters, err := b.broker.DeadLetters(b.ctx, "", "", 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters: %v", len(letters), err)
	}
	return letters[0]
}

// A task that is returned as often as the queue allows is a dead letter, and its job has failed. Crashes
// don't count.
func TestTaskReturnedTooOftenDies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxAttempts: 3, MaxCrashes: 5}})
		source := b.publish(t, job.Task{JobID: "job", Attributes: map[string]string{"k": "v"}})
		for i := range 3 {
			d := b.readOne(t, "w")
			b.expire(t, d.Lease) // the worker crashes
			d = b.readOne(t, "w")
			if d.Attempt != 2*i+2 || d.Failures != i {
				t.Errorf("attempt %d with %d failures, want %d and %d", d.Attempt, d.Failures, 2*i+2, i)
			}
			n, err := b.broker.Nack(b.ctx, now(d, "not yet"))
			want := queue.Nacked{Outcome: queue.NackRetry}
			if i == 2 {
				want.Outcome = queue.NackDead
			}
			if err != nil || n != want {
				t.Errorf("%v, %v, want %v", n, err, want)
			}
		}
		if more := b.read(t, "w", 1); len(more) != 0 {
			t.Error("it was delivered again:", more)
		}
		d := b.letter(t)
		if d.Cause != queue.CauseMaxAttempts || d.Reason != "not yet" || d.Attempts != 6 || d.Failures != 3 ||
			d.Task.Attributes["k"] != "v" || d.DiedAt.IsZero() || d.PublishedAt.IsZero() || d.Group != job.DefaultGroup || d.SourceID == source {
			t.Errorf("%+v", d)
		}
		b.events(t, "job", "failed")
		if s := b.hash(t, "job_state:job"); s["status"] != "failed" || s["error_message"] != "gave up after 3 attempts: not yet" {
			t.Error(s)
		}
	})
}

// A task with which too many workers crashed is a dead letter, and its job has failed.
func TestTaskThatCrashesItsWorkersDies(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxCrashes: 3}})
		b.publish(t, job.Task{JobID: "poison"})
		for range 3 {
			b.expire(t, b.readOne(t, "w").Lease)
		}
		b.readNothing(t, func() bool { return b.pending(t) == 0 })
		b.publish(t, job.Task{JobID: "neighbour"})
		if d := b.readOne(t, "w"); d.Task.JobID != "neighbour" {
			t.Error("delivered:", d.Task.JobID)
		}
		if d := b.letter(t); d.Cause != queue.CauseMaxCrashes || d.Attempts != 3 || d.Failures != 0 {
			t.Errorf("%+v", d)
		}
		b.events(t, "poison", "failed")
	})
}

// The back-off doubles up to its maximum; half of it is random.
func TestBackOffDoublesUpToItsMaximum(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{RetryMin: time.Minute, RetryMax: 5 * time.Minute, MaxAttempts: 100}})
		b.publish(t, job.Task{JobID: "job"})
		for _, most := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			n, err := b.broker.Nack(b.ctx, queue.NackRequest{Token: b.readOne(t, "w").Lease.Token()})
			if err != nil || n.Delay < most/2 || n.Delay > most {
				t.Errorf("%v, %v, want %s to %s", n, err, most/2, most)
			}
			b.travel(t)
		}
	})
}
