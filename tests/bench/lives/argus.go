package main

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

const (
	argusBatched = "Argus, batched and streaming"
	argusMixed   = "Argus, unary Publish, streaming workers"
	argusUnary   = "Argus, all unary"
)

func (b *bench) argus() []*contender {
	return []*contender{
		{name: argusBatched, lives: timedLives(b.batchedLives)},
		{name: argusMixed, lives: timedLives(b.mixedLives), idle: b.argusIdle},
		{name: argusUnary, lives: timedLives(b.unaryLives)},
	}
}

func timedLives(lives func(context.Context, int) error) func(context.Context, int) (time.Duration, error) {
	return func(ctx context.Context, n int) (time.Duration, error) {
		return timed(func() error { return lives(ctx, n) })
	}
}

func (b *bench) tasks(lane int) argusv1.TaskQueueClient {
	return argusv1.NewTaskQueueClient(b.Conn(lane))
}

func task(job string) *argusv1.Task {
	return &argusv1.Task{JobId: job, ReportId: "report-1", OrganizationId: "acme", GcsUri: "gs://scans/acme/2026/11/" + job + ".tar.gz",
		Scanners: []string{"trivy", "clamav"}, TimeoutSeconds: 600}
}

var (
	initialState = &argusv1.InitialState{Fields: map[string]string{"organization_id": "acme"}}
	resultFields = map[string]string{"findings": "12", "severity": "high", "report_uri": "gs://reports/acme/report-1.json"}
)

func completion(d *argusv1.Delivery) *argusv1.CompleteRequest {
	return &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED, Fields: resultFields}
}

// batchedLives publishes in batches; workers complete in batches on their streams.
func (b *bench) batchedLives(ctx context.Context, n int) error {
	var all errgroup.Group
	all.Go(func() error {
		return inLanes(n, func(lane, n int) error {
			for done := 0; done < n; done += batch {
				r := &argusv1.PublishBatchRequest{InitialState: initialState}
				for i := range min(batch, n-done) {
					r.Tasks = append(r.Tasks, task(jobName(lane, done+i)))
				}
				if _, err := b.tasks(0).PublishBatch(ctx, r); err != nil {
					return err
				}
			}
			return nil
		})
	})
	all.Go(func() error { return b.work(ctx, n) })
	return all.Wait()
}

// work completes n tasks on Consume streams, one per lane.
func (b *bench) work(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var left atomic.Int64
	left.Store(int64(n))
	done := make(chan struct{})
	var workers errgroup.Group
	for lane := range lanes {
		stream, err := b.tasks(1).Consume(ctx)
		if err != nil {
			return err
		}
		start := &argusv1.ConsumeStart{Consumer: fmt.Sprint("w", lane), MaxOutstanding: 4 * batch}
		if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: start}}); err != nil {
			return err
		}
		workers.Go(func() error {
			for {
				r, err := stream.Recv()
				if err == io.EOF || ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				if failure := r.GetFailure(); failure != nil {
					return fmt.Errorf("%v", failure)
				}
				if outcomes := r.GetCompleteBatch().GetOutcomes(); len(outcomes) > 0 {
					for _, o := range outcomes {
						if o.GetFailure() != nil {
							return fmt.Errorf("%v", o)
						}
					}
					if left.Add(-int64(len(outcomes))) == 0 {
						close(done)
					}
				}
				deliveries := r.GetDeliveries().GetDeliveries()
				if len(deliveries) == 0 {
					continue
				}
				batch := &argusv1.CompleteBatchRequest{Requests: make([]*argusv1.CompleteRequest, len(deliveries))}
				for i, d := range deliveries {
					batch.Requests[i] = completion(d)
				}
				if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: batch}}); err != nil {
					return err
				}
			}
		})
	}
	failed := make(chan error, 1)
	go func() { failed <- workers.Wait() }()
	select {
	case <-done:
		cancel()
		<-failed
		return nil
	case err := <-failed:
		return err
	}
}

// publishUnary publishes n tasks, each in a call of its own.
func (b *bench) publishUnary(ctx context.Context, n int) error {
	var all errgroup.Group
	for c := range callers {
		all.Go(func() error {
			for i := range (n + c) / callers {
				if _, err := b.tasks(0).Publish(ctx, &argusv1.PublishRequest{Task: task(jobName(c, i)), InitialState: initialState}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func (b *bench) mixedLives(ctx context.Context, n int) error {
	var all errgroup.Group
	all.Go(func() error { return b.publishUnary(ctx, n) })
	all.Go(func() error { return b.work(ctx, n) })
	return all.Wait()
}

// unaryLives makes one call per step of each task.
func (b *bench) unaryLives(ctx context.Context, n int) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var all errgroup.Group
	var left atomic.Int64
	left.Store(int64(n))
	all.Go(func() error { return b.publishUnary(ctx, n) })
	for c := range callers {
		all.Go(func() error {
			tasks := b.tasks(1)
			for {
				got, err := tasks.Read(ctx, &argusv1.ReadRequest{Consumer: fmt.Sprint("w", c), Wait: durationpb.New(time.Second)})
				if ctx.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				for _, d := range got.GetDeliveries() {
					if _, err := tasks.Complete(ctx, completion(d)); err != nil {
						return err
					}
					if left.Add(-1) == 0 {
						cancel()
					}
				}
			}
		})
	}
	return all.Wait()
}

// argusIdle publishes by unary calls to a worker on a stream.
func (b *bench) argusIdle(ctx context.Context, n int) (*rig.Latencies, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := b.tasks(1).Consume(ctx)
	if err != nil {
		return nil, err
	}
	start := &argusv1.ConsumeStart{Consumer: "w", MaxOutstanding: batch}
	if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: start}}); err != nil {
		return nil, err
	}
	return oneByOne(n, func(at string) error {
		t := task("")
		t.Attributes = map[string]string{"at": at}
		_, err := b.tasks(0).Publish(ctx, &argusv1.PublishRequest{Task: t})
		return err
	}, func() (string, error) {
		for {
			r, err := stream.Recv()
			if err != nil {
				return "", err
			}
			for _, d := range r.GetDeliveries().GetDeliveries() {
				err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Complete{Complete: completion(d)}})
				return d.GetTask().GetAttributes()["at"], err
			}
		}
	})
}
