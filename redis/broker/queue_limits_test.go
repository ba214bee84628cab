package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// New queues are refused beyond a limit, whatever creates them; known ones and those of the settings are not.
func TestNumberOfQueuesIsLimited(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{MaxQueues: 5, Queues: map[string]job.QueueSettings{"named": {}, "fair": {FairBy: job.FairByOrganization}}})
		for i := range 5 {
			if _, _, err := b.broker.Publish(b.ctx, to(fmt.Sprint("q", i))); err != nil {
				t.Fatal(err)
			}
		}
		withState, withID, delayed := to("new"), to("new"), to("new")
		withState.State, withID.RequestID, delayed.Delay = &job.InitialState{}, "id", time.Hour
		withState.Task.JobID = "job"
		publish := func(r queue.PublishRequest) error {
			_, _, err := b.broker.Publish(b.ctx, r)
			return err
		}
		_, errBatch := func() (any, error) {
			_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "new"}, Tasks: make([]job.Task, 2)})
			return nil, err
		}()
		_, errGroup := b.broker.CreateGroup(b.ctx, "new", "group")
		for what, err := range map[string]error{"publish": publish(to("new")), "with a state": publish(withState), "with a request id": publish(withID),
			"delayed": publish(delayed), "batch": errBatch, "pause": b.broker.Pause(b.ctx, "new"), "create group": errGroup} {
			if !errors.Is(err, job.ErrTooManyQueues) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := b.raw.Exists(b.ctx, b.key("new"), b.key("argus_delayed:new"), b.key("job_state:job"), b.key("argus_paused:new")).Val(); n != 0 {
			t.Error(n, "keys were written")
		}
		for range 2 { // the script, and then the plain command
			for _, name := range []string{"q0", "named", "fair", ""} {
				if err := publish(to(name)); err != nil {
					t.Errorf("%q: %v", name, err)
				}
			}
		}
		// Reads of queues that hold nothing make none known.
		for i := range 5 {
			if _, err := b.readAs(fmt.Sprint("none", i), ""); err != nil {
				t.Error(err)
			}
		}
		if n := b.raw.SCard(b.ctx, b.key("argus_queues:known")).Val(); n != 8 {
			t.Error(n, "queues are known")
		}
	})
}

// A queue at its maximum length refuses tasks, a batch as a whole, until one is settled.
func TestLengthOfAQueueIsLimited(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"small": {MaxLength: 3}}})
		publish := func(n int, delay time.Duration) error {
			var err error
			if delay > 0 {
				_, _, err = b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "small"}, Delay: delay})
			} else {
				_, _, err = b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "small"}, Tasks: make([]job.Task, n)})
			}
			return err
		}
		if err := errors.Join(publish(1, 0), publish(1, time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := publish(2, 0); !errors.Is(err, job.ErrQueueFull) {
			t.Errorf("publish: %v; want the error ErrQueueFull", err)
		}
		if n := len(b.stream(t, "small")); n != 1 {
			t.Error(n, "entries: a refused batch left something")
		}
		if err := publish(1, 0); err != nil {
			t.Error(err)
		}
		if err := publish(1, time.Hour); !errors.Is(err, job.ErrQueueFull) {
			t.Errorf("publish: %v; want the error ErrQueueFull", err)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "small", Consumer: "w"})
		if err != nil || len(d) != 1 {
			t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		if err := publish(1, 0); err != nil {
			t.Error("after one is done:", err)
		}
	})
}
