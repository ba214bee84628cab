package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// All leases of a consumer are listed, however many, and it is said which have run out.
func TestHeldListsAllLeases(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		const leases = 1600
		b := setup(t, e, job.Settings{})
		tasks := make([]job.Task, leases/2)
		for i := range tasks {
			tasks[i].JobID = fmt.Sprint("job-", i)
		}
		for range 2 {
			if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
				t.Fatal(err)
			}
		}
		var last queue.Delivery
		for got := 0; got < leases; {
			deliveries := b.read(t, "w", job.MaxBatch)
			got += len(deliveries)
			last = deliveries[len(deliveries)-1]
		}
		b.expire(t, last.Lease)
		held, err := b.broker.Held(b.ctx, "", "", "w")
		if err != nil || len(held.Leases) != leases || !held.IsComplete {
			t.Fatalf("%d leases, complete: %t; %v", len(held.Leases), held.IsComplete, err)
		}
		expired := 0
		for _, lease := range held.Leases {
			if lease.HasExpired {
				expired++
			}
		}
		if !held.Leases[queue.Entry{Prefix: b.engine.Prefix, ID: last.Lease.EntryID}].HasExpired || expired != 1 {
			t.Error(expired, "leases have run out")
		}
		if held, err = b.broker.Held(b.ctx, "", "", "other"); err != nil || len(held.Leases) != 0 || held.Leases == nil {
			t.Error(held, err)
		}
	})
}
