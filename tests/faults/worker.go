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
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// outstanding is how many tasks a worker may have. Its results go by calls of their own, to
// any server: what they settle, the stream finds out only now and then.
const outstanding = 500

// work works on streams of both queues until ctx ends. Most tasks are done at once; those
// of the fair queue and some others take a while, some longer than their lease, and some are
// given back.
func (r *role) work(ctx context.Context) {
	var queues sync.WaitGroup
	for i, queue := range []string{"", fairQueue} {
		queues.Go(func() { r.workOn(ctx, queue, rand.New(rand.NewPCG(r.seed, uint64(i)))) })
	}
	queues.Wait()
}

func (r *role) workOn(ctx context.Context, queue string, random *rand.Rand) {
	var tasks sync.WaitGroup
	for ctx.Err() == nil {
		err := r.consume(ctx, queue, outstanding, func(d *argusv1.Delivery, held string) {
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
			progress, giveBack := random.Float64() < 0.3, random.Float64() < 0.02
			tasks.Go(func() { r.finish(context.WithoutCancel(ctx), d, held, took, progress, giveBack) })
		})
		if !errors.Is(err, io.EOF) {
			r.elsewhere()
		}
	}
	tasks.Wait()
}

// hoard takes as many tasks as it gets, and does nothing with them.
func (r *role) hoard(ctx context.Context) {
	for ctx.Err() == nil {
		_ = r.consume(ctx, "", hoard, func(*argusv1.Delivery, string) {})
		r.elsewhere()
	}
}

// consume works on one stream, until it ends.
func (r *role) consume(ctx context.Context, queue string, most int32, got func(d *argusv1.Delivery, held string)) error {
	stream, err := argusv1.NewTaskQueueClient(r.conn()).Consume(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Queue: queue, Consumer: r.name, MaxOutstanding: most}}}); err != nil {
		return err
	}
	for {
		answer, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, d := range answer.GetDeliveries().GetDeliveries() {
			lease, err := redis.ParseLease(d.GetLeaseToken())
			if err != nil {
				log.Fatal(err)
			}
			held := fmt.Sprint(lease.EntryID, " ", lease.Count)
			r.log.Add(history.Event{Kind: history.Deliver, Who: r.name, Job: d.GetTask().GetJobId(), Lease: held,
				Organization: d.GetTask().GetOrganizationId(), Canary: d.GetTask().GetAttributes()["canary"]})
			got(d, held)
		}
	}
}

// finish works on a task and reports its result.
func (r *role) finish(ctx context.Context, d *argusv1.Delivery, held string, took time.Duration, progress, giveBack bool) {
	ctx, cancel := context.WithTimeout(ctx, drainFor)
	defer cancel()
	job := d.GetTask().GetJobId()
	if progress {
		one, cancel := context.WithTimeout(ctx, callFor)
		_, _ = argusv1.NewCompletionClient(r.conn()).Publish(one, &argusv1.CompletionPublishRequest{JobId: job, Status: argusv1.JobStatus_JOB_STATUS_RUNNING,
			Fields: map[string]string{"canary": d.GetTask().GetAttributes()["canary"]}})
		cancel()
	}
	time.Sleep(took)
	if giveBack {
		r.log.Add(history.Event{Kind: history.GiveBack, Who: r.name, Job: job, Lease: held, Began: time.Now()})
		_ = r.insist(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := argusv1.NewTaskQueueClient(conn).Nack(ctx, &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), Delay: durationOf(0)})
			return err
		})
		return
	}
	e := history.Event{Kind: history.Complete, Who: r.name, Job: job, Lease: held, Began: time.Now(), Outcome: history.Unknown}
	err := r.insist(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		done, err := argusv1.NewTaskQueueClient(conn).Complete(ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED,
			Fields: map[string]string{"canary": d.GetTask().GetAttributes()["canary"]}})
		if err == nil {
			e.Cursor, e.Outcome = done.GetCursor(), history.OK
			if done.GetAlreadyCompleted() {
				e.Outcome = history.Already
			}
		}
		return err
	})
	switch status.Code(err) {
	case codes.OK, codes.DeadlineExceeded, codes.Canceled:
	case codes.FailedPrecondition:
		e.Outcome = history.Lost
	default:
		log.Printf("%s could not complete %s: %v", r.name, job, err)
	}
	r.log.Add(e)
}
