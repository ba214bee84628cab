package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// All leases of a consumer are listed, however many, and it is stated which have expired.
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
			t.Errorf("%d leases are listed as expired, want the one that is", expired)
		}
		if held, err = b.broker.Held(b.ctx, "", "", "other"); err != nil || len(held.Leases) != 0 || held.Leases == nil {
			t.Errorf("Held: %+v, %v; want len(held.Leases) == 0 and held.Leases set", held, err)
		}
	})
}

// A consumer that restarts reads what it holds, under new tokens: those from before the restart are void.
func TestOwnPendingReadRenewsTheTokens(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		b.publish(t, job.Task{JobID: "b"})
		before := b.readOne(t, "w")
		b.readOne(t, "other")
		own, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 10, OwnPending: true})
		if err != nil || len(own) != 1 || own[0].Task.JobID != "a" || own[0].Attempt != 2 {
			t.Fatalf(`Read: %+v, %v; want len(own) == 1 and own[0].Task.JobID == "a" and own[0].Attempt == 2`, own, err)
		}
		if _, err := b.broker.Complete(b.ctx, before.Lease.Token(), job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("the token from before the restart:", err)
		}
		if _, err := b.broker.Complete(b.ctx, own[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error(err)
		}
	})
}

// Reads of own tasks that don't fit one read continue where the last one ended.
func TestOwnPendingReadsContinueInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			b.publish(t, job.Task{JobID: fmt.Sprint(i)})
		}
		for i, d := range b.read(t, "w", 5) { // held for different times
			if err := b.xclaim(d.Lease, time.Duration(50-i)*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		var jobs []string
		for range 3 {
			own, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 2, OwnPending: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range own {
				jobs = append(jobs, d.Task.JobID)
			}
		}
		if got := strings.Join(jobs, ""); !strings.HasPrefix(got, "01234") {
			t.Error("own pending:", got)
		}
	})
}
