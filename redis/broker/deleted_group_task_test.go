package broker_test

import (
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// orphan appends a task for a group that does not exist.
func (b *bundle) orphan(t *testing.T, id string) {
	t.Helper()
	if err := b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", id, "argus_for_group", "deleted")).Err(); err != nil {
		t.Fatal(err)
	}
}

// A task for a deleted group is delivered to another group, unless its job was cancelled.
func TestTaskForADeletedGroupIsCancelled(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "first"}) // from now on reads take the plain way
		b.readOne(t, "w")
		for _, id := range []string{"one", "two"} {
			b.orphan(t, id)
			b.orphan(t, "wanted")
			if _, err := b.broker.Cancel(b.ctx, id, "not needed"); err != nil {
				t.Fatal(err)
			}
			d := b.read(t, "w", 10)
			if len(d) != 1 || d[0].Task.JobID != "wanted" || time.Until(d[0].ExpiresAt) <= 0 {
				t.Fatalf("%d deliveries: %+v", len(d), d)
			}
			if d = b.read(t, "w", 10); len(d) != 0 {
				t.Fatal("later:", d)
			}
			b.events(t, id, "cancelled")
		}
	})
}

// A task for a deleted group that crashes its workers becomes a dead letter.
func TestTaskForADeletedGroupDiesAfterCrashes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const crashes = 2
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxCrashes: crashes}})
		b.orphan(t, "poison")
		for i := range crashes {
			d := b.readOne(t, "w")
			if d.Attempt != i+1 {
				t.Error("attempt", d.Attempt)
			}
			b.expire(t, d.Lease)
		}
		await(t, b.ctx, func() bool {
			if d := b.read(t, "w", 10); len(d) != 0 {
				t.Fatal("delivered again:", d)
			}
			return len(b.stream(t, "argus_dead:"+job.DefaultQueue)) == 1
		})
		b.events(t, "poison", "failed")
	})
}

// The default group, which the first publish creates, may be unused: a task for it is delivered to another
// group.
func TestTaskForTheUnusedDefaultGroupIsDelivered(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{job.AnyGroup}}})
		read := func() []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: "two", Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		b.publish(t, job.Task{JobID: "first"})
		read()
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "retry", "argus_for_group", job.DefaultGroup))
		if d := read(); len(d) != 1 || d[0].Task.JobID != "retry" {
			t.Fatal(d)
		}
	})
}
