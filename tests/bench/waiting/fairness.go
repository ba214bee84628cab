package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// fairConfig makes one queue fair between organizations.
const fairConfig = "queues:\n  fair:\n    fair_by: organization_id\n"

// fairness measures how long a burst of tasks of one organization takes: alone, and behind a
// flood of another organization's tasks.
func fairness(ctx context.Context, r *rig.Rig, table *rig.Table) {
	var alone time.Duration
	for _, c := range []struct {
		name, queue string
		flood       int
	}{
		{"alone, FIFO queue", "fifo", 0}, {"behind a flood, FIFO queue", "fifo", *flood},
		{"alone, fair queue", "fair", 0}, {"behind a flood, fair queue", "fair", *flood},
	} {
		took := quietBurst(ctx, r, c.queue, c.flood)
		if alone == 0 {
			alone = took
		}
		table.Row(fmt.Sprintf("%d tasks %s", *quietTasks, c.name), rig.Seconds(took), fmt.Sprintf("%.2f", float64(took)/float64(alone)))
	}
}

// quietBurst publishes a flood of one organization, then the tasks of another, and returns the
// time until the last of the latter is done.
func quietBurst(ctx context.Context, r *rig.Rig, queue string, flood int) time.Duration {
	ctx, cancel := context.WithCancel(ctx)
	tasks := argusv1.NewTaskQueueClient(r.Conn(0))
	publish := func(organization string, n int) {
		for ; n > 0; n -= 500 {
			batch := &argusv1.PublishBatchRequest{Queue: queue}
			for range min(n, 500) {
				batch.Tasks = append(batch.Tasks, &argusv1.Task{OrganizationId: organization})
			}
			if _, err := tasks.PublishBatch(ctx, batch); err != nil {
				fail(err)
			}
		}
	}
	publish("loud", flood)
	var left atomic.Int64
	left.Store(int64(*quietTasks))
	done := make(chan struct{})
	var workers sync.WaitGroup
	start := time.Now()
	publish("quiet", *quietTasks)
	for i := range 4 {
		workers.Go(func() {
			for ctx.Err() == nil {
				got, err := tasks.Read(ctx, &argusv1.ReadRequest{Queue: queue, Consumer: fmt.Sprint("w", i), Wait: durationpb.New(time.Second)})
				if err != nil {
					return
				}
				for _, d := range got.GetDeliveries() {
					time.Sleep(2 * time.Millisecond) // simulated work
					if _, err := tasks.Ack(ctx, &argusv1.AckRequest{LeaseTokens: []string{d.GetLeaseToken()}}); err != nil {
						return
					}
					if d.GetTask().GetOrganizationId() == "quiet" && left.Add(-1) == 0 {
						close(done)
					}
				}
			}
		})
	}
	<-done
	took := time.Since(start)
	cancel()
	workers.Wait()
	r.Raw.FlushAll(context.WithoutCancel(ctx))
	return took
}
