package broker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A waiting read waits in all shards, and each entry wakes one read, which gets it. The second time there is
// no background work that would find an entry no read was woken for.
func TestWaitingReadsWaitInAllShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		publish := func(id string) error {
			_, _, err := s.Publish(s.ctx, queue.PublishRequest{Task: job.Task{JobID: id}})
			return err
		}
		raw := func(id string) error {
			return s.raw.XAdd(s.ctx, &goredis.XAddArgs{Stream: s.engine.Shard(shardOf(id)) + job.DefaultQueue, Values: []any{"job_id", id}}).Err()
		}
		s.wake(t, 10, publish, raw)
		s.Close()
		s.wake(t, 100, publish)
	})
}

// wake publishes jobs of all shards to waiting reads, in the given ways by turns.
func (s sharded) wake(t *testing.T, rounds int, ways ...func(id string) error) {
	t.Helper()
	const workers = 6
	got := make(chan string, workers)
	ctx, cancel := context.WithCancel(s.ctx)
	var tasks sync.WaitGroup
	for i := range workers {
		tasks.Go(func() {
			for {
				deliveries, err := s.Read(ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: time.Minute})
				if ctx.Err() != nil {
					return
				}
				if err != nil || len(deliveries) != 1 {
					t.Error(deliveries, err)
					return
				}
				got <- deliveries[0].Task.JobID
			}
		})
	}
	defer tasks.Wait()
	defer cancel()
	for round := range rounds {
		var want, have []string
		for i := range workers {
			id := jobIn((round+i)%shardCount, round*workers+i)
			want = append(want, id)
			if err := ways[i%len(ways)](id); err != nil {
				t.Fatal(err)
			}
		}
		for range workers {
			select {
			case id := <-got:
				have = append(have, id)
			case <-s.ctx.Done():
				t.Fatalf("round %d: only %v came of %v", round, have, want)
			}
		}
		slices.Sort(want)
		slices.Sort(have)
		if !slices.Equal(want, have) {
			t.Fatalf("%v came, want %v", have, want)
		}
	}
	if w := s.WaitStats(); w.Workers > workers {
		t.Errorf("WaitStats: %+v; want w.Workers <= workers", w)
	}
}
