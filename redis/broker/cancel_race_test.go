package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// When a cancel and a read race, the job ends once, and no worker has it after it ended.
func TestCancelAndReadRace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 50 {
			b.publish(t, job.Task{JobID: "job"})
			got := make(chan []queue.Delivery, 1)
			go func() {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w"})
				if err != nil {
					t.Error(err)
				}
				got <- d
			}()
			c, err := b.broker.Cancel(b.ctx, "job", "")
			if err != nil {
				t.Fatal(err)
			}
			d := <-got
			switch {
			case len(d) == 1 && c.Was != job.StatusRunning:
				t.Errorf("a worker has it, but it was %s", c.Was)
			case len(d) == 1:
				if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
					t.Error(err)
				}
				b.events(t, "job", "completed")
			default:
				b.read(t, "w", 1)
				b.events(t, "job", "cancelled")
			}
			b.raw.Del(b.ctx, b.key("argus_completion:job"), b.key("argus_jobs:cancelled"))
		}
	})
}

// A Cancel at the same time as a result reports which of them came first.
func TestCancelAndCompleteRace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 100 {
			id := fmt.Sprint("job-", i)
			b.publish(t, job.Task{JobID: id})
			token := b.readOne(t, "w").Lease.Token()
			done := make(chan error, 1)
			go func() {
				_, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted})
				done <- err
			}()
			c, err := b.broker.Cancel(b.ctx, id, "")
			if err != nil || c.Was == job.StatusPending {
				t.Errorf("%+v, %v", c, err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			b.events(t, id, "completed")
		}
	})
}
