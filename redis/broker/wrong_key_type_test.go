package broker_test

import (
	"errors"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A key of another type is reported, and a Complete that fails because of it settles nothing.
func TestKeyOfAnotherTypeIsReported(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.Set(b.ctx, b.key("q"), "text", 0)
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "q"}}); !errors.Is(err, job.ErrKeyType) {
			t.Error("Publish:", err)
		}
		if _, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "q", Consumer: "w"}); !errors.Is(err, job.ErrKeyType) {
			t.Error("Read:", err)
		}
		for _, key := range []string{"job_state:job", "argus_completion:job"} {
			b.publish(t, job.Task{JobID: "job"})
			d := b.readOne(t, "w")
			b.raw.Set(b.ctx, b.key(key), "text", 0)
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrKeyType) {
				t.Error("Complete:", err)
			}
			if n := b.pending(t); n != 1 {
				t.Errorf("%s: a Complete that failed settled the task: %d pending", key, n)
			}
			b.raw.Del(b.ctx, b.key(key))
			if _, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil {
				t.Error(err)
			}
		}
	})
}

// A key of another type under the name of a queue affects no other queue.
func TestQueueOfAnotherTypeAffectsNoOther(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.LPush(b.ctx, b.key("legacy"), "x")
		b.raw.SAdd(b.ctx, b.key("argus_queues:known"), "legacy")
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "legacy"}}); !errors.Is(err, job.ErrKeyType) {
			t.Errorf("Publish: %v; want the error ErrKeyType", err)
		}
		b.publish(t, job.Task{JobID: "job"})
		if q, _, err := b.broker.Queues(b.ctx, "", 10); err != nil || len(q) != 1 {
			t.Errorf("Queues: %+v, %v; want len(q) == 1", q, err)
		}
		if info, err := b.broker.Job(b.ctx, "job"); err != nil || info.Place.Where != queue.WhereWaiting {
			t.Errorf("Job: %+v, %v; want info.Place.Where == queue.WhereWaiting", info, err)
		}
		b.cancel(t, "job", job.StatusPending)
	})
}
