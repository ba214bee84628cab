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

// fairConfig has one queue that is fair.
const fairConfig = "queues:\n  fair:\n    fair_by: organization_id\n"

// fairness measures how long an organization's tasks take that all come at once: alone,
// and behind another's flood.
func fairness(ctx context.Context, r *rig.Rig, table *rig.Table) {
	var alone time.Duration
	for _, c := range []struct {
		name, queue string
		flood       int
	}{
		{"alone", "first-come", 0}, {"behind a flood, first come first served", "first-come", *flood},
		{"alone, fair queue", "fair", 0}, {"behind a flood, fair queue", "fair", *flood},
	} {
		took := quiet(ctx, r, c.queue, c.flood)
		if alone == 0 {
			alone = took
		}
		table.Row(fmt.Sprintf("%d tasks %s", *quietTasks, c.name), rig.Seconds(took), fmt.Sprintf("%.2f", float64(took)/float64(alone)))
	}
}

// quiet publishes a flood of one organization, then the tasks of another, and returns how
// long the latter took.
func quiet(ctx context.Context, r *rig.Rig, queue string, flood int) time.Duration {
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
					time.Sleep(2 * time.Millisecond) // the work
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
