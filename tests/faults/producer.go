package main

import (
	"context"
	"fmt"
	"log"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// fastReconnect keeps the reconnect delays of clients short, so that the measured pauses are those
// of the servers.
var fastReconnect = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second}

// produce publishes at the rate until ctx ends, and waits for the calls in flight.
func (r *role) produce(ctx context.Context) {
	var all sync.WaitGroup
	var n atomic.Int64
	ticker := time.NewTicker(time.Second / time.Duration(r.rate))
	defer ticker.Stop()
	for range producers {
		all.Go(func() {
			for {
				select {
				case <-ticker.C:
				case <-ctx.Done():
					return
				}
				n := n.Add(1)
				r.publish(context.WithoutCancel(ctx), fmt.Sprintf("%s-%d", r.producer, n), destinationOf(n), nil)
			}
		})
	}
	all.Wait()
}

// destination is the queue and the organization of a task.
type destination struct{ queue, organization string }

// The queue that is fair between organizations. The limit of tasks in flight per organization
// allows one per shard.
const (
	fairQueue     = "fair"
	fairLimit     = 6
	organizations = 3
	fairInterval  = 4 // one in so many tasks goes there, enough that some have to wait
)

// destinationOf is the destination of a producer's nth task.
func destinationOf(n int64) destination {
	if n%fairInterval != 0 {
		return destination{}
	}
	return destination{fairQueue, fmt.Sprint("organization-", n/fairInterval%organizations)}
}

// publish publishes a job's task, and retries until it is acknowledged.
func (r *role) publish(ctx context.Context, job string, to destination, attributes map[string]string) {
	all := map[string]string{"canary": r.canary}
	for name, value := range attributes {
		all[name] = value
	}
	r.log.Add(history.Event{Kind: history.Publish, Client: r.name, Job: job, Outcome: history.Started})
	var started time.Time // of the last attempt
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	err := r.retry(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		started = time.Now()
		_, err := argusv1.NewTaskQueueClient(conn).Publish(ctx, &argusv1.PublishRequest{RequestId: job, Queue: to.queue,
			Task: &argusv1.Task{JobId: job, OrganizationId: to.organization, Attributes: all}, InitialState: &argusv1.InitialState{}})
		return err
	})
	if err != nil {
		log.Printf("publish %s: %v", job, err)
		return
	}
	r.log.Add(history.Event{Kind: history.Publish, Client: r.name, Job: job, Start: started, Outcome: history.OK, Canary: r.canary})
}

// publishBatch publishes one task per job in a single call, and retries until it is acknowledged.
func (r *role) publishBatch(ctx context.Context, id string, jobs []string) error {
	var started time.Time
	batch := &argusv1.PublishBatchRequest{RequestId: id}
	for _, job := range jobs {
		r.log.Add(history.Event{Kind: history.Publish, Client: r.name, Job: job, Outcome: history.Started})
		batch.Tasks = append(batch.Tasks, &argusv1.Task{JobId: job, Attributes: map[string]string{"canary": r.canary}})
	}
	err := r.retry(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		started = time.Now()
		_, err := argusv1.NewTaskQueueClient(conn).PublishBatch(ctx, batch)
		return err
	})
	if err != nil {
		return err
	}
	for _, job := range jobs {
		r.log.Add(history.Event{Kind: history.Publish, Client: r.name, Job: job, Start: started, Outcome: history.OK, Canary: r.canary})
	}
	return nil
}
