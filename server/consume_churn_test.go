package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Workers that come and go complete every job exactly once, none exceeds its credit, and the
// tasks of a worker that left go to others.
func TestConsumeUnderChurn(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, job.Settings{Queue: job.QueueSettings{Lease: 500 * time.Millisecond, MaxCrashes: 1000}})
		const jobs, workers, max = 400, 4, 8
		keys := make([]string, jobs)
		for i := range keys {
			keys[i] = b.key(fmt.Sprint("argus_completion:job-", i))
		}
		ctx, cancel := context.WithCancel(b.ctx)
		var all sync.WaitGroup
		for i := range workers {
			all.Go(func() {
				for ctx.Err() == nil {
					b.churn(ctx, t, fmt.Sprint("w", i), max)
				}
			})
		}
		for i := range jobs {
			b.publish(t, fmt.Sprint("job-", i))
		}
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for b.raw.Exists(b.ctx, keys...).Val() < jobs {
			select {
			case <-tick.C:
			case <-b.ctx.Done():
				t.Fatal("not all jobs were done")
			}
		}
		cancel()
		all.Wait()
		for _, key := range keys {
			if n := b.raw.XLen(b.ctx, key).Val(); n != 1 {
				t.Errorf("%s has %d results, want 1", key, n)
			}
		}
	})
}

// churn works on one stream until it leaves: by a half-close, or by cancelling it.
func (b *bundle) churn(ctx context.Context, t *testing.T, name string, max int32) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s, err := b.queue.Consume(ctx)
	if err != nil {
		return
	}
	_ = s.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Consumer: name, MaxOutstanding: max}}})
	left, has := 20+rand.IntN(40), make(map[string]bool)
	for {
		r, err := s.Recv()
		if err != nil {
			return
		}
		for _, d := range r.GetDeliveries().GetDeliveries() {
			if has[d.GetLeaseToken()] = true; len(has) > int(max) {
				t.Errorf("%d tasks are outstanding, at most %d may be", len(has), max)
			}
			switch left--; {
			case left > 0:
				delete(has, d.GetLeaseToken()) // its credit may return before its response arrives
				_ = s.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Complete{
					Complete: &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}}})
			case rand.IntN(2) == 0:
				cancel()
			default:
				_ = s.CloseSend()
			}
		}
	}
}
