package broker_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var rounds = flag.Int("rounds", 100, "rounds of TestNoNotificationIsLostWhenConnectionsBreak")

// No notification is lost, whenever the connections break.
func TestNoNotificationIsLostWhenConnectionsBreak(t *testing.T) {
	t.Parallel()
	// A reply that is lost with its connection leaves a lease behind.
	b := setup(t, redistest.Own(t).Engine(), job.Settings{Queue: job.QueueSettings{Lease: 200 * time.Millisecond, MaxCrashes: 1000}})
	b.tracked(t)
	b.ctx = t.Context() // a lost notification shows as a wait of longWait, however many the rounds
	ctx, cancel := context.WithCancel(b.ctx)
	var killer sync.WaitGroup
	killer.Go(func() {
		for ctx.Err() == nil {
			ids := b.connections(t)
			for _, i := range rand.Perm(len(ids))[:min(2, len(ids))] {
				b.raw.Do(ctx, "CLIENT", "KILL", "ID", ids[i], "SKIPME", "yes")
			}
			b.jitter(100)
		}
	})
	defer killer.Wait()
	defer cancel()
	raw := b.engine.Raw(t)
	write := func(args *goredis.XAddArgs) {
		for raw.XAdd(b.ctx, args).Err() != nil && b.ctx.Err() == nil { // its connection is killed as well
		}
	}
	for i := range *rounds {
		id := fmt.Sprint("job-", i)
		var both sync.WaitGroup
		both.Go(func() {
			for {
				event, err := b.broker.Await(b.ctx, id, longWait)
				switch {
				case event != nil:
					return
				case b.ctx.Err() != nil || err == nil:
					t.Errorf("round %d: %v, %v", i, event, err)
					return
				}
			}
		})
		both.Go(func() {
			for {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
				if len(d) == 1 {
					return
				}
				if b.ctx.Err() != nil || err == nil {
					t.Errorf("round %d: %v, %v", i, d, err)
					return
				}
			}
		})
		b.jitter(20)
		write(entry(b.key("argus_completion:"+id), "status", "completed"))
		write(entry(b.key(job.DefaultQueue), "job_id", id))
		both.Wait()
		if t.Failed() {
			return
		}
	}
}
