package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A queue that is no longer fair keeps no keys of fairness, although tasks were in flight.
func TestQueueNoLongerFairLeavesNoKeys(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 2})
		b.flood(t, "a", 4)
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Fatalf("read: %+v; want len(d) == 2", len(d))
		}
		b.broker.Close()
		b.broker = b.open(t, job.Settings{})
		await(t, b.ctx, func() bool {
			return len(b.fairKeys(t)) == 0 && b.raw.SCard(b.ctx, b.key("argus_queues:delayed")).Val() == 0
		})
		if d := b.read(t, "w", 10); len(d) != 2 {
			t.Errorf("read %d tasks of the backlog, want 2", len(d))
		}
	})
}

// A queue that is no longer fair delivers its whole backlog.
func TestQueueNoLongerFairDeliversItsBacklog(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupFair(t, e, job.QueueSettings{FairMaxInFlight: 1})
		b.flood(t, "a", 300)
		b.read(t, "w", 10)
		b.broker.Close()
		b.broker = b.open(t, job.Settings{})
		for seen := 0; seen < 299; {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 100, Wait: longWait})
			if err != nil || len(d) == 0 {
				t.Fatalf("Read: %+v, %v; want len(d) != 0", seen, err)
			}
			seen += len(d)
		}
		await(t, b.ctx, func() bool {
			return len(b.raw.ZRange(b.ctx, b.key("argus_fair:"+job.DefaultQueue), 0, -1).Val()) == 0
		})
	})
}

// A queue whose stream is gone remains known as long as it has a backlog.
func TestQueueWithABacklogIsNotForgotten(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const name = "dynamic" // not named in the settings
		b := setupFair(t, e, job.QueueSettings{})
		for i := range 3 {
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Task: job.Task{JobID: fmt.Sprint("job-", i)}})
			if err != nil {
				t.Fatal(err)
			}
		}
		b.broker.Close() // its scheduler would create the stream again
		b.raw.Del(b.ctx, b.key(name))
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		if !b.raw.SIsMember(b.ctx, b.key("argus_queues:known"), name).Val() {
			t.Error("the cleaner forgot a queue with a backlog")
		}
	})
}
