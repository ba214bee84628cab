package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"sync"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// outstanding is the maximum of unsettled tasks on a worker's stream. It is high because results
// are unary calls to any server, and the stream learns of them with a delay.
const outstanding = 500

// work processes the tasks of both queues until ctx ends. Most tasks complete immediately. Those
// of the fair queue and a few others take a while, some longer than their lease, and some are
// returned by Nack.
func (r *role) work(ctx context.Context) {
	var queues sync.WaitGroup
	for i, queue := range []string{"", fairQueue} {
		queues.Go(func() { r.workOn(ctx, queue, rand.New(rand.NewPCG(r.seed, uint64(i)))) })
	}
	queues.Wait()
}

// workOn processes the tasks of one queue. A poison task kills the process.
func (r *role) workOn(ctx context.Context, queue string, random *rand.Rand) {
	var tasks sync.WaitGroup
	for ctx.Err() == nil {
		err := r.consume(ctx, queue, outstanding, func(d *argusv1.Delivery, lease string) {
			if d.GetTask().GetAttributes()["poison"] != "" {
				_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			}
			took, chance := time.Duration(0), random.Float64()
			switch {
			case chance < 0.02:
				took = r.lease + r.lease/2
			case chance < 0.1:
				took = time.Duration(random.IntN(int(r.lease / 2)))
			case queue == fairQueue:
				took = time.Duration(random.IntN(int(r.lease / 4)))
			}
			progress, nack := random.Float64() < 0.3, random.Float64() < 0.02
			tasks.Go(func() { r.handle(context.WithoutCancel(ctx), d, lease, took, progress, nack) })
		})
		if !errors.Is(err, io.EOF) {
			r.switchServer()
		}
	}
	tasks.Wait()
}

// hoard takes as many tasks as it can, and settles none.
func (r *role) hoard(ctx context.Context) {
	for ctx.Err() == nil {
		_ = r.consume(ctx, "", hoardSize, func(*argusv1.Delivery, string) {})
		r.switchServer()
	}
}

// consume passes the deliveries of one stream to got, until the stream ends.
func (r *role) consume(ctx context.Context, queue string, maxOutstanding int32, got func(d *argusv1.Delivery, lease string)) error {
	stream, err := argusv1.NewTaskQueueClient(r.conn()).Consume(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Queue: queue, Consumer: r.name, MaxOutstanding: maxOutstanding}}}); err != nil {
		return err
	}
	for {
		response, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, d := range response.GetDeliveries().GetDeliveries() {
			parsed, err := job.ParseLease(d.GetLeaseToken())
			if err != nil {
				log.Fatal(err)
			}
			lease := fmt.Sprint(parsed.EntryID, " ", parsed.Count)
			r.log.Add(history.Event{Kind: history.Deliver, Client: r.name, Job: d.GetTask().GetJobId(), Lease: lease,
				Organization: d.GetTask().GetOrganizationId(), Canary: d.GetTask().GetAttributes()["canary"]})
			got(d, lease)
		}
	}
}

// handle works on a task, and reports its result or returns it.
func (r *role) handle(ctx context.Context, d *argusv1.Delivery, lease string, took time.Duration, progress, nack bool) {
	ctx, cancel := context.WithTimeout(ctx, drainTimeout)
	defer cancel()
	id := d.GetTask().GetJobId()
	if progress {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		_, _ = argusv1.NewCompletionClient(r.conn()).Publish(callCtx, &argusv1.CompletionPublishRequest{JobId: id, Status: argusv1.JobStatus_JOB_STATUS_RUNNING,
			Fields: map[string]string{"canary": d.GetTask().GetAttributes()["canary"]}})
		cancel()
	}
	time.Sleep(took)
	if nack {
		r.log.Add(history.Event{Kind: history.Nack, Client: r.name, Job: id, Lease: lease, Start: time.Now()})
		_ = r.retry(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := argusv1.NewTaskQueueClient(conn).Nack(ctx, &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), Delay: durationOf(0)})
			return err
		})
		return
	}
	e := history.Event{Kind: history.Complete, Client: r.name, Job: id, Lease: lease, Start: time.Now(), Outcome: history.Unknown}
	err := r.retry(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		done, err := argusv1.NewTaskQueueClient(conn).Complete(ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED,
			Fields: map[string]string{"canary": d.GetTask().GetAttributes()["canary"]}})
		if err == nil {
			e.Cursor, e.Outcome = done.GetCursor(), history.OK
			if done.GetAlreadyCompleted() {
				e.Outcome = history.AlreadyCompleted
			}
		}
		return err
	})
	switch status.Code(err) {
	case codes.OK, codes.DeadlineExceeded, codes.Canceled:
	case codes.FailedPrecondition:
		e.Outcome = history.LeaseLost
	default:
		log.Printf("%s: complete %s: %v", r.name, id, err)
	}
	r.log.Add(e)
}
