package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// maxTasks bounds the tasks of one run.
const maxTasks = 100_000

// naiveWorkers are 16 workers that block on XREADGROUP, each on a connection of its own.
func naiveWorkers(ctx context.Context, r *rig.Rig, table *rig.Table) {
	ctx, cancel := context.WithCancel(ctx)
	const n, stream = 16, "argus:naive"
	t := newTransit(maxTasks)
	pool := goredis.NewClient(&goredis.Options{Addr: r.RedisAddr, Protocol: 2, PoolSize: n, ReadTimeout: -1})
	pool.XGroupCreateMkStream(ctx, stream, "g", "0")
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			for ctx.Err() == nil {
				reply, err := pool.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: fmt.Sprint(i), Streams: []string{stream, ">"}, Count: 1, Block: time.Second}).Result()
				if err != nil {
					continue
				}
				m := reply[0].Messages[0]
				n := 0
				_, _ = fmt.Sscan(m.Values["n"].(string), &n)
				t.receive(n)
				pool.XAck(ctx, stream, "g", m.ID)
				pool.XDel(ctx, stream, m.ID)
			}
		})
	}
	time.Sleep(time.Second)
	usage := r.Idle(*duration)
	t.sendTasks(func(i int) error {
		return r.Raw.XAdd(ctx, &goredis.XAddArgs{Stream: stream, Values: []any{"n", i}}).Err()
	})
	table.Row(append([]string{fmt.Sprintf("%d raw XREADGROUP BLOCK", n)}, append(t.latencies.Row(), usage...)...)...)
	cancel()
	_ = pool.Close()
	all.Wait()
}

// idleWorkers wait in Read calls or on Consume streams, as way says. The label completes the
// row's name.
func idleWorkers(ctx context.Context, r *rig.Rig, table *rig.Table, way, label string) {
	ctx, cancel := context.WithCancel(ctx)
	t, queue := newTransit(maxTasks), "idle-"+way
	got := func(d *argusv1.Delivery) {
		n := 0
		_, _ = fmt.Sscan(d.GetTask().GetReportId(), &n)
		t.receive(n)
	}
	var all sync.WaitGroup
	for i := range *workers {
		client, consumer := argusv1.NewTaskQueueClient(r.Conn(i/500)), fmt.Sprint("w", i)
		all.Go(func() {
			for ctx.Err() == nil {
				if way == "Read" {
					readOnce(ctx, client, queue, consumer, got)
				} else if err := consume(ctx, client, queue, consumer, got); err != nil {
					return
				}
			}
		})
	}
	time.Sleep(3 * time.Second)
	usage := r.Idle(*duration)
	producer := argusv1.NewTaskQueueClient(r.Conn(9999))
	t.sendTasks(func(i int) error {
		_, err := producer.Publish(ctx, &argusv1.PublishRequest{Queue: queue, Task: &argusv1.Task{JobId: jobID(way, i), ReportId: fmt.Sprint(i)}})
		return err
	})
	table.Row(append([]string{fmt.Sprintf("%d idle %s workers%s", *workers, way, label)}, append(t.latencies.Row(), usage...)...)...)
	cancel()
	all.Wait()
}

// readOnce waits in one Read call, and acknowledges what it returns.
func readOnce(ctx context.Context, client argusv1.TaskQueueClient, queue, consumer string, got func(*argusv1.Delivery)) {
	reply, err := client.Read(ctx, &argusv1.ReadRequest{Queue: queue, Consumer: consumer, Wait: durationpb.New(time.Minute)})
	for _, d := range reply.GetDeliveries() {
		got(d)
		_, err = client.Ack(ctx, &argusv1.AckRequest{LeaseTokens: []string{d.GetLeaseToken()}})
	}
	if err != nil && ctx.Err() == nil {
		fail(err)
	}
}

// consume acknowledges the tasks of one Consume stream until the stream ends. It returns an
// error when the stream cannot be opened.
func consume(ctx context.Context, client argusv1.TaskQueueClient, queue, consumer string, got func(*argusv1.Delivery)) error {
	stream, err := client.Consume(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{
		Queue: queue, Consumer: consumer, MaxOutstanding: 1, HeartbeatInterval: durationpb.New(time.Hour)}}})
	for {
		frame, err := stream.Recv()
		if err != nil {
			return nil
		}
		for _, d := range frame.GetDeliveries().GetDeliveries() {
			got(d)
			_ = stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Ack{Ack: &argusv1.AckRequest{LeaseTokens: []string{d.GetLeaseToken()}}}})
		}
	}
}
