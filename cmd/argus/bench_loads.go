package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// publishes makes a publisher of tasks that say when they were published.
func (b *benchRun) publishes(done func(client, n int, took time.Duration)) func(context.Context, int) (int, error) {
	padding := strings.Repeat("x", b.size)
	task := func() *argusv1.Task {
		return &argusv1.Task{OrganizationId: "bench", Attributes: map[string]string{"padding": padding, benchAttribute: strconv.FormatInt(time.Now().UnixNano(), 10)}}
	}
	return func(ctx context.Context, client int) (int, error) {
		queue := argusv1.NewTaskQueueClient(b.conn(client))
		start := time.Now()
		var err error
		if b.batch == 1 {
			_, err = queue.Publish(ctx, &argusv1.PublishRequest{Queue: b.onQueue, Task: task()})
		} else {
			r := &argusv1.PublishBatchRequest{Queue: b.onQueue}
			for range b.batch {
				r.Tasks = append(r.Tasks, task())
			}
			_, err = queue.PublishBatch(ctx, r)
		}
		if err == nil {
			done(client, b.batch, time.Since(start))
		}
		return b.batch, err
	}
}

func publishLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.clients)
	for i := range meters {
		meters[i] = b.meter()
	}
	return b.paced(ctx, b.publishes(func(client, n int, took time.Duration) { meters[client].add(n, took) }))
}

// consumes works tasks off on streams, until ctx ends. It tells of each task when it was
// published, and of each frame of results how long its answer took.
func (b *benchRun) consumes(ctx context.Context, delivered func(worker int, at []time.Time), answered func(worker, n int, took time.Duration)) error {
	err := b.consume(ctx, delivered, answered)
	if ctx.Err() != nil { // wherever they stood
		return nil
	}
	return err
}

func (b *benchRun) consume(ctx context.Context, delivered func(worker int, at []time.Time), answered func(worker, n int, took time.Duration)) error {
	var all errgroup.Group
	for w := range b.workers {
		stream, err := argusv1.NewTaskQueueClient(b.conn(w)).Consume(ctx)
		if err != nil {
			return err
		}
		start := &argusv1.ConsumeStart{Queue: b.onQueue, Consumer: fmt.Sprint("bench-", uuid.NewString()[:8], "-", w), MaxOutstanding: int32(b.maxOutstanding)}
		if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: start}}); err != nil {
			return err
		}
		all.Go(func() error {
			sent := make(map[uint32]time.Time)
			for id := uint32(1); ; id++ {
				r, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return nil
				}
				if err != nil {
					return err
				}
				if failure := r.GetFailure(); failure != nil {
					return errors.New(failure.GetMessage())
				}
				if at, ok := sent[r.GetId()]; ok {
					delete(sent, r.GetId())
					answered(w, len(r.GetCompleteBatch().GetOutcomes()), time.Since(at))
				}
				deliveries := r.GetDeliveries().GetDeliveries()
				if len(deliveries) == 0 {
					continue
				}
				results := &argusv1.CompleteBatchRequest{}
				at := make([]time.Time, 0, len(deliveries))
				for _, d := range deliveries {
					results.Requests = append(results.Requests, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
					if ns, err := strconv.ParseInt(d.GetTask().GetAttributes()[benchAttribute], 10, 64); err == nil {
						at = append(at, time.Unix(0, ns))
					}
				}
				delivered(w, at)
				sent[id] = time.Now()
				if err := stream.Send(&argusv1.ConsumeRequest{Id: id, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: results}}); err != nil {
					return err
				}
			}
		})
	}
	return all.Wait()
}

func consumeLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.workers)
	for i := range meters {
		meters[i] = b.meter()
	}
	// No deadline: the server would know it, and could end the streams first.
	timed, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(b.duration, cancel).Stop()
	start := time.Now()
	last := atomic.Int64{}
	err := b.consumes(timed, func(int, []time.Time) {}, func(w, n int, took time.Duration) {
		meters[w].add(n, took)
		last.Store(int64(time.Since(start)))
	})
	if b.took = time.Duration(last.Load()); b.took == 0 { // nothing was there
		b.took = time.Since(start)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// drainFor is how long what was published may take to be delivered after the last publish.
const drainFor = 30 * time.Second

func e2eLoad(ctx context.Context, b *benchRun) error {
	meters := make([]*meter, b.workers)
	for i := range meters {
		meters[i] = b.meter()
	}
	began := time.Now()
	var published, delivered atomic.Int64
	working, stop := context.WithCancel(ctx)
	defer stop()
	worked := make(chan error, 1)
	go func() {
		worked <- b.consumes(working, func(w int, at []time.Time) {
			now := time.Now()
			times := make([]time.Duration, 0, len(at))
			for _, t := range at {
				if !t.Before(began) { // else it is left from before
					times = append(times, now.Sub(t))
				}
			}
			meters[w].add(len(times), times...)
			delivered.Add(int64(len(times)))
		}, func(int, int, time.Duration) {})
	}()
	if err := b.paced(ctx, b.publishes(func(_, n int, _ time.Duration) { published.Add(int64(n)) })); err != nil {
		return err
	}
	for end := time.Now().Add(drainFor); delivered.Load() < published.Load() && time.Now().Before(end); {
		select {
		case err := <-worked:
			return cmp.Or(err, errors.New("the streams ended early"))
		default:
			if !pause(ctx, 10*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
	b.took = time.Since(began)
	b.notes = append(b.notes, fmt.Sprintf("%d published, %d delivered", published.Load(), delivered.Load()))
	stop()
	if err := <-worked; err != nil {
		return err
	}
	if delivered.Load() < published.Load() {
		return fmt.Errorf("%s: the others did not come within %s", b.notes[0], drainFor)
	}
	return nil
}

// eventsPerJob bounds how many events a watched job gets.
const eventsPerJob = 900

func watchLoad(ctx context.Context, b *benchRun) error {
	if events := float64(b.rate) * b.duration.Seconds() / float64(b.clients); events > eventsPerJob {
		return usageError(fmt.Errorf("--clients: %.0f events for each of %d jobs are too many (%d); use more clients, a lower rate or a shorter duration", events, b.clients, eventsPerJob))
	}
	run := "bench-" + uuid.NewString()[:8]
	job := func(i int) string { return fmt.Sprint(run, "-", i) }
	watching, stop := context.WithCancel(ctx)
	defer stop()
	var ready, all errgroup.Group
	start := time.Now()
	for i := range b.clients {
		m := b.meter()
		stream, err := argusv1.NewCompletionClient(b.conn(i)).Watch(watching, &argusv1.WatchRequest{JobId: job(i)})
		if err != nil {
			return err
		}
		first := make(chan error, 1)
		ready.Go(func() error { return <-first })
		all.Go(func() error {
			_, err := stream.Recv() // the snapshot
			first <- err
			for err == nil {
				var r *argusv1.WatchResponse
				if r, err = stream.Recv(); err == nil && r.GetEvent() != nil {
					if ns, err := strconv.ParseInt(r.GetEvent().GetFields()[benchAttribute], 10, 64); err == nil {
						m.add(1, time.Since(time.Unix(0, ns)))
					}
				}
			}
			if errors.Is(err, io.EOF) || watching.Err() != nil {
				return nil
			}
			return err
		})
	}
	if err := ready.Wait(); err != nil {
		return err
	}
	b.notes = append(b.notes, fmt.Sprintf("%d streams in %.2f s", b.clients, time.Since(start).Seconds()))
	event := func(ctx context.Context, i int, status argusv1.JobStatus) error {
		_, err := argusv1.NewCompletionClient(b.conn(i)).Publish(ctx, &argusv1.CompletionPublishRequest{JobId: job(i), Status: status,
			Fields: map[string]string{benchAttribute: strconv.FormatInt(time.Now().UnixNano(), 10)}})
		return err
	}
	if err := b.paced(ctx, func(ctx context.Context, i int) (int, error) {
		return 1, event(ctx, i, argusv1.JobStatus_JOB_STATUS_RUNNING)
	}); err != nil {
		return err
	}
	var ends errgroup.Group
	ends.SetLimit(64)
	for i := range b.clients {
		ends.Go(func() error { return event(context.WithoutCancel(ctx), i, argusv1.JobStatus_JOB_STATUS_COMPLETED) })
	}
	if err := ends.Wait(); err != nil {
		return err
	}
	return all.Wait()
}
