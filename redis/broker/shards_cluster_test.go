package broker_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// The shards of a Cluster lie on all masters. When one is gone, the others' jobs continue, and when it is
// back, its own do.
func TestShardsOnOtherMastersContinue(t *testing.T) {
	t.Parallel()
	servers := redistest.OwnCluster(t, 3)
	ctx := redistest.Context(t)
	s := openShards(t, redis.Config{Addr: servers[0].Addr + "," + servers[1].Addr, Cluster: true, Prefix: "argus:", Shards: shardCount, ReadTimeout: time.Second}, job.Settings{})
	shardAt := mastersOfShards(t, ctx, servers)
	read := func(n int) {
		t.Helper()
		completeSome(t, ctx, s, n)
	}
	publish := func(n int, shards ...int) {
		t.Helper()
		for _, i := range shards {
			if _, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(i, n)}}); err != nil {
				t.Fatalf("publish in shard %d: %v", i, err)
			}
		}
	}
	publish(0, 0, 1, 2, 3)
	read(4)

	gone := servers[2]
	gone.Kill()
	var left []int
	for server, shards := range shardAt {
		if server != gone {
			left = append(left, shards...)
		}
	}
	await(t, ctx, func() bool { // the others notice, and continue without it
		_, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(left[0], 1)}})
		return err == nil
	})
	read(1)
	publish(2, left...)
	read(len(left))
	if err := s.Ping(ctx); err != nil {
		t.Error("with two masters of three:", err)
	}
	w := s.Watches()
	defer w.Close()
	lost := jobIn(shardAt[gone][0], 3)
	for _, id := range []string{lost, jobIn(left[0], 2)} {
		if err := w.Add(id, watch.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	nextResult(t, ctx, w, jobIn(left[0], 2))
	if _, _, err := s.Publish(ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "r"}, Task: job.Task{JobID: lost}}); !errors.Is(err, job.ErrUnavailable) {
		t.Errorf("Publish: %v; want the error ErrUnavailable", err)
	}

	if err := gone.Start(); err != nil {
		t.Fatal(err)
	}
	await(t, ctx, func() bool {
		_, _, err := s.Publish(ctx, queue.PublishRequest{Task: job.Task{JobID: lost}})
		return err == nil
	})
	read(1)
	nextResult(t, ctx, w, lost)
}

// mastersOfShards is which shards each master has; every master has some.
func mastersOfShards(t *testing.T, ctx context.Context, servers []*redistest.Server) map[*redistest.Server][]int {
	t.Helper()
	e := redistest.Engine{Base: "argus:"}
	shardAt := make(map[*redistest.Server][]int)
	for i := range shardCount {
		key := e.Shard(i) + "argus_queues:shards"
		for _, server := range servers {
			if keys, err := (redistest.Engine{Addr: server.Addr}).Raw(t).Keys(ctx, "*").Result(); err != nil || slices.Contains(keys, key) {
				shardAt[server] = append(shardAt[server], i)
			}
		}
	}
	if len(shardAt) != len(servers) {
		t.Fatalf("the shards lie on %v, want all of %d masters", shardAt, len(servers))
	}
	return shardAt
}

// completeSome reads and completes n tasks.
func completeSome(t *testing.T, ctx context.Context, b *broker.Broker, n int) {
	t.Helper()
	for got := 0; got < n; {
		deliveries, err := b.Read(ctx, queue.ReadRequest{Consumer: "w", Max: 10, Wait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries {
			if _, err := b.Complete(ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
				t.Fatal(err)
			}
		}
		got += len(deliveries)
	}
}

// nextResult reads frames of a job until its result.
func nextResult(t *testing.T, ctx context.Context, w *watch.Watcher, jobID string) {
	t.Helper()
	for {
		frame, err := w.Next(ctx, time.Minute)
		if err != nil || frame == nil || frame.Err != nil || frame.JobID != jobID {
			t.Fatalf("the watcher returned %+v, %v, want a frame of %s", frame, err, jobID)
		}
		if frame.Done {
			return
		}
	}
}
