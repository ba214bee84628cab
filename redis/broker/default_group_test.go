package broker_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A stream without a group, as a raw producer leaves it, gets the default group with the first publish.
func TestFirstPublishCreatesTheGroupOfAnExistingStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "raw"))
		b.publish(t, job.Task{JobID: "ours"})
		b.startLate(t, job.DefaultQueue)
		if got := b.rawRead(t, job.DefaultQueue, job.DefaultGroup); !slices.Equal(got, []string{"raw", "ours"}) {
			t.Error(got)
		}
	})
}

// Where workers have a group of another name, a publish creates no default group.
func TestPublishCreatesNoGroupBesideAnother(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.XGroupCreateMkStream(b.ctx, b.key(job.DefaultQueue), "legacy", "$")
		b.publish(t, job.Task{JobID: "job"})
		if groups := b.raw.XInfoGroups(b.ctx, b.key(job.DefaultQueue)).Val(); len(groups) != 1 || groups[0].Name != "legacy" {
			t.Error(groups)
		}
	})
}

// Where workers use another group, the default group that the first publish creates keeps no tasks.
func TestUnusedDefaultGroupKeepsNoTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{job.AnyGroup}}})
		key := b.key(job.DefaultQueue)
		left := func(when string, want int64) {
			t.Helper()
			if got := b.raw.XLen(b.ctx, key).Val(); got != want {
				t.Errorf("%s: %d entries are left, want %d", when, got, want)
			}
		}
		b.publish(t, job.Task{JobID: "first"})
		if groups := b.raw.XInfoGroups(b.ctx, key).Val(); len(groups) != 1 || groups[0].Name != job.DefaultGroup {
			t.Fatal("the first publish makes the default group:", groups)
		}
		// gRPC workers of another group: what they settle is deleted at once.
		read := func(group string) []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := read("scanners"); len(d) != 1 {
			t.Fatal(d)
		} else if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		left("completed by another group", 0)

		// Raw workers of another group: what they acknowledge is removed by the cleaner.
		for i := range 20 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		b.rawWork(t, job.DefaultQueue, "scanners")
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 0 {
			t.Errorf("%d tasks wait, and all were delivered to the only group in use; %v", q.Waiting, err)
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		left("acknowledged by a raw worker of another group", 0)
		if n := b.broker.WaitStats().UnseenRemoved; n != 0 {
			t.Errorf("%d removed entries are counted as unseen, want 0", n)
		}

		// Once a worker has read with it, the default group gets each task.
		b.publish(t, job.Task{JobID: "both"})
		if d := read(job.DefaultGroup); len(d) != 1 {
			t.Fatal(d)
		}
		b.rawWork(t, job.DefaultQueue, "scanners")
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		left("the default group has not settled it", 1)
	})
}
