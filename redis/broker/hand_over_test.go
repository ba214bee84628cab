package broker_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Reads come and go while tasks are published. Whether a read takes what was leased for it or leaves in
// that moment, every task is delivered once and none remains leased. Nothing but the hand-over itself
// could find such a task: there is no background work, and leases last an hour.
func TestHandOverLosesNoTaskWhileReadsComeAndGo(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		const count = 150
		got := make(chan queue.Delivery, count)
		ctx, cancel := context.WithCancel(r.ctx)
		stop := r.comeAndGo(ctx, got)
		defer stop()
		defer cancel()
		for i := range count {
			request := queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("task-", i)}}
			if i%2 == 0 {
				request.State = &job.InitialState{}
			}
			if _, _, err := r.broker.Publish(r.ctx, request); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[string]bool)
		for len(seen) < count {
			select {
			case d := <-got:
				if seen[d.Task.JobID] {
					t.Error("delivered twice:", d)
				}
				seen[d.Task.JobID] = true
				r.ackAll(t, d)
			case <-r.ctx.Done():
				t.Fatalf("%d of %d tasks were delivered", len(seen), count)
			}
		}
		cancel()
		stop()
		for i := range r.shards {
			if pending := r.raw.XPending(r.ctx, r.tasks(i), job.DefaultGroup).Val(); pending.Count != 0 {
				t.Errorf("shard %d: %d tasks are still pending", i, pending.Count)
			}
		}
	}, 0, shardCount)
}

// comeAndGo runs three readers until ctx ends: one stays for each read's whole wait, the others leave at
// different moments of it.
func (r recorded) comeAndGo(ctx context.Context, got chan<- queue.Delivery) (stop func()) {
	var readers sync.WaitGroup
	for i := range 3 {
		readers.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				reading, leave := context.WithCancel(ctx)
				time.AfterFunc(time.Duration(n%20)*100*time.Microsecond, leave)
				if i == 0 {
					reading = r.ctx
				}
				deliveries, _ := r.broker.Read(reading, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: time.Duration(1+n%3) * time.Millisecond})
				for _, d := range deliveries {
					got <- d
				}
				leave()
			}
		})
	}
	return readers.Wait
}
