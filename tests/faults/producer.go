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

// quickly is how soon a client connects again: what is measured is the server's pause, not
// the client's.
var quickly = backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.5, Jitter: 0.2, MaxDelay: time.Second}

// produce publishes at the rate until ctx ends; what it has begun it brings to an end.
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
				r.publish(context.WithoutCancel(ctx), fmt.Sprintf("%s-%d", r.producer, n), placeOf(n), nil)
			}
		})
	}
	all.Wait()
}

// place is where a task is published.
type place struct{ queue, organization string }

// The queue that is fair between organizations, of which each may have a few tasks in flight:
// one for each shard, where there are shards.
const (
	fairQueue     = "fair"
	fairLimit     = 6
	organizations = 3
	fairEvery     = 4 // every how many tasks go there: so many that some have to wait
)

func placeOf(n int64) place {
	if n%fairEvery != 0 {
		return place{}
	}
	return place{fairQueue, fmt.Sprint("organization-", n/fairEvery%organizations)}
}

// publish publishes a job's task, and insists.
func (r *role) publish(ctx context.Context, job string, to place, attributes map[string]string) {
	all := map[string]string{"canary": r.canary}
	for name, value := range attributes {
		all[name] = value
	}
	r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Outcome: history.Begun})
	var began time.Time // of the call that was answered
	ctx, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	err := r.insist(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		began = time.Now()
		_, err := argusv1.NewTaskQueueClient(conn).Publish(ctx, &argusv1.PublishRequest{RequestId: job, Queue: to.queue,
			Task: &argusv1.Task{JobId: job, OrganizationId: to.organization, Attributes: all}, InitialState: &argusv1.InitialState{}})
		return err
	})
	if err != nil {
		log.Printf("%s: %v", job, err)
		return
	}
	r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Began: began, Outcome: history.OK, Canary: r.canary})
}

// publishBatch publishes tasks for jobs, all in one call.
func (r *role) publishBatch(ctx context.Context, id string, jobs []string) error {
	var began time.Time
	batch := &argusv1.PublishBatchRequest{RequestId: id}
	for _, job := range jobs {
		r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Outcome: history.Begun})
		batch.Tasks = append(batch.Tasks, &argusv1.Task{JobId: job, Attributes: map[string]string{"canary": r.canary}})
	}
	err := r.insist(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		began = time.Now()
		_, err := argusv1.NewTaskQueueClient(conn).PublishBatch(ctx, batch)
		return err
	})
	if err != nil {
		return err
	}
	for _, job := range jobs {
		r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Began: began, Outcome: history.OK, Canary: r.canary})
	}
	return nil
}
