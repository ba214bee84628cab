package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A publish reads for who waits. Whether he takes it, or leaves in this moment, no task is
// left leased to no consumer, and with nothing that looks for such it is found at once.
func TestPublishReadsForWhoWaits(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Lease: time.Hour}})
		b.publish(t, job.Task{JobID: "first"}) // the group is made, and the size of tasks known
		b.ackAll(t, b.read(t, "w", 1)...)
		b.broker.Close()
		const readers, count = 3, 150
		got := make(chan queue.Delivery, count)
		ctx, cancel := context.WithCancel(b.ctx)
		var tasks sync.WaitGroup
		for i := range readers {
			tasks.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					ctx, leave := context.WithCancel(ctx)
					time.AfterFunc(time.Duration(n%20)*100*time.Microsecond, leave)
					if i == 0 { // one stays
						ctx = b.ctx
					}
					deliveries, _ := b.broker.Read(ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: time.Duration(1+n%3) * time.Millisecond})
					for _, d := range deliveries {
						got <- d
					}
					leave()
				}
			})
		}
		for i := range count {
			r := queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}}
			if i%2 == 0 {
				r.State = &job.InitialState{}
			}
			if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[string]bool)
		for len(seen) < count {
			select {
			case d := <-got:
				if seen[d.Task.JobID] {
					t.Error("twice:", d)
				}
				seen[d.Task.JobID] = true
				b.ackAll(t, d)
			case <-b.ctx.Done():
				t.Fatalf("%d of %d tasks came", len(seen), count)
			}
		}
		cancel()
		tasks.Wait()
		if n := b.pending(t); n != 0 {
			t.Errorf("%d tasks are left pending", n)
		}
	})
}
