package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// naiveWatchers block on XREAD, each on a connection of its own.
func naiveWatchers(ctx context.Context, r *rig.Rig, table *rig.Table, n int) {
	ctx, cancel := context.WithCancel(ctx)
	t, before := newTransit(n), r.Clients()
	pool := goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, PoolSize: n, ReadTimeout: -1})
	var ready, all sync.WaitGroup
	start := time.Now()
	for i := range n {
		ready.Add(1)
		all.Go(func() {
			last, first := "0", true
			for ctx.Err() == nil {
				if first {
					ready.Done()
					first = false
				}
				reply, err := pool.XRead(ctx, &goredis.XReadArgs{Streams: []string{"argus:argus_completion:" + jobID("naive", i), last}, Block: time.Second}).Result()
				if err == nil {
					last = reply[0].Messages[len(reply[0].Messages)-1].ID
					t.receive(i)
				}
			}
		})
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients := r.Clients() - before
	t.sendEvents(func(i int) error { return xadd(ctx, r.Raw, jobID("naive", i)) })
	table.Row(append([]string{fmt.Sprintf("%d naive watchers, raw XADD", n)}, append(t.latencies.Row(), fmt.Sprint(clients), "-", "-", rig.Seconds(took))...)...)
	cancel()
	_ = pool.Close()
	all.Wait()
}

// watchers have a Watch stream each. The events come from Completion.Publish when way is
// "gRPC", and directly from Redis when it is "raw". The label completes the row's name.
func watchers(ctx context.Context, r *rig.Rig, table *rig.Table, n int, way, label string) {
	ctx, cancel := context.WithCancel(ctx)
	run := fmt.Sprintf("%s-%d", way, n)
	t, rss, memory, before := newTransit(n), r.ServerRSS(), r.RedisMemory(), r.Clients()
	var ready, all sync.WaitGroup
	start := time.Now()
	open := func(i int) {
		stream, err := argusv1.NewCompletionClient(r.Conn(i/500)).Watch(ctx, &argusv1.WatchRequest{JobId: jobID(run, i), HeartbeatInterval: durationpb.New(time.Hour)})
		if err != nil {
			fail(err)
		}
		first := true
		all.Go(func() {
			for {
				frame, err := stream.Recv()
				if err != nil {
					return
				}
				if first {
					ready.Done()
					first = false
				}
				if frame.GetEvent() != nil {
					t.receive(i)
				}
			}
		})
	}
	ready.Add(n)
	for i := range n {
		open(i)
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients, each, redisEach := r.Clients()-before, (r.ServerRSS()-rss)/int64(n), (r.RedisMemory()-memory)/int64(n)
	done := argusv1.NewCompletionClient(r.Conn(9999))
	t.sendEvents(func(i int) error {
		if way == "raw" {
			return xadd(ctx, r.Raw, jobID(run, i))
		}
		_, err := done.Publish(ctx, &argusv1.CompletionPublishRequest{JobId: jobID(run, i), Status: argusv1.JobStatus_JOB_STATUS_RUNNING})
		return err
	})
	name := "Completion.Publish"
	if way == "raw" {
		name = "raw XADD"
	}
	table.Row(append([]string{fmt.Sprintf("%d Watch streams, %s%s", n, name, label)}, append(t.latencies.Row(), fmt.Sprint(clients), fmt.Sprint(each), fmt.Sprint(redisEach), rig.Seconds(took))...)...)
	cancel()
	all.Wait()
}

// watchMany watches many jobs on ten WatchMany streams.
func watchMany(ctx context.Context, r *rig.Rig, table *rig.Table, n int) {
	ctx, cancel := context.WithCancel(ctx)
	const streams = 10
	run := fmt.Sprint("many-", n)
	t, rss, memory, before := newTransit(n), r.ServerRSS(), r.RedisMemory(), r.Clients()
	index := make(map[string]int, n)
	for i := range n {
		index[jobID(run, i)] = i
	}
	var ready, all sync.WaitGroup
	ready.Add(n)
	start := time.Now()
	for s := range streams {
		stream, err := argusv1.NewCompletionClient(r.Conn(s)).WatchMany(ctx)
		if err != nil {
			fail(err)
		}
		all.Go(func() {
			for {
				frame, err := stream.Recv()
				switch {
				case err != nil:
					return
				case frame.GetSnapshot() != nil:
					ready.Done()
				case frame.GetEvent() != nil:
					t.receive(index[frame.GetJobId()])
				}
			}
		})
		request := &argusv1.WatchManyRequest{HeartbeatInterval: durationpb.New(time.Hour)}
		for i := s; i < n; i += streams {
			request.Add = append(request.Add, &argusv1.WatchJob{JobId: jobID(run, i)})
		}
		for part := range slices.Chunk(request.Add, 5000) {
			if err := stream.Send(&argusv1.WatchManyRequest{Add: part, HeartbeatInterval: request.HeartbeatInterval}); err != nil {
				fail(err)
			}
		}
	}
	ready.Wait()
	took := time.Since(start)
	time.Sleep(time.Second)
	clients, each, redisEach := r.Clients()-before, (r.ServerRSS()-rss)/int64(n), (r.RedisMemory()-memory)/int64(n)
	t.sendEvents(func(i int) error { return xadd(ctx, r.Raw, jobID(run, i)) })
	table.Row(append([]string{fmt.Sprintf("%d jobs on %d WatchMany streams, raw XADD", n, streams)}, append(t.latencies.Row(), fmt.Sprint(clients), fmt.Sprint(each), fmt.Sprint(redisEach), rig.Seconds(took))...)...)
	cancel()
	all.Wait()
}

// xadd adds an event to a job, as a raw Redis client does.
func xadd(ctx context.Context, raw *goredis.Client, job string) error {
	return raw.XAdd(ctx, &goredis.XAddArgs{Stream: "argus:argus_completion:" + job, Values: []any{"job_id", job, "status", "running"}}).Err()
}
