package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/faults/history"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// role is a producer, a worker or a watcher, in a process of its own, which records what it
// did and saw.
type role struct {
	name, servers, dir, canary, producer string
	rate                                 int
	seed                                 uint64

	log   *history.Log
	conns []*grpc.ClientConn
	next  atomic.Int64 // which server is called
}

// How the roles work.
const (
	producers  = 8  // calls of a producer at a time
	watchers   = 30 // streams of a watcher
	watchEvery = 5  // every how many jobs are watched
	callFor    = 5 * time.Second
	drainFor   = 30 * time.Second
	outOfReach = 50 * time.Millisecond
)

func runRole(kind string, args []string) {
	r := &role{}
	flags := flag.NewFlagSet(kind, flag.ExitOnError)
	flags.StringVar(&r.name, "name", "", "")
	flags.StringVar(&r.servers, "servers", "", "")
	flags.StringVar(&r.dir, "dir", "", "")
	flags.StringVar(&r.canary, "canary", "", "")
	flags.StringVar(&r.producer, "producer", "", "")
	flags.IntVar(&r.rate, "rate", 0, "")
	flags.Uint64Var(&r.seed, "seed", 0, "")
	_ = flags.Parse(args)
	var err error
	if r.log, err = history.Open(r.dir, r.name); err != nil {
		log.Fatal(err)
	}
	for addr := range strings.SplitSeq(r.servers, ",") {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			log.Fatal(err)
		}
		r.conns = append(r.conns, conn)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	map[string]func(context.Context){"producer": r.produce, "worker": r.work, "watcher": r.watch}[kind](ctx)
}

// conn is the server that is called now; elsewhere goes on to the next.
func (r *role) conn() *grpc.ClientConn { return r.conns[int(r.next.Load())%len(r.conns)] }

func (r *role) elsewhere() {
	r.next.Add(1)
	time.Sleep(outOfReach)
}

// insist repeats a call that is safe to repeat until it has a definite answer or ctx ends.
func (r *role) insist(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, callFor)
		err := call(one, r.conn())
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Canceled, codes.ResourceExhausted, codes.Internal:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.elsewhere()
			continue
		}
		return err
	}
}

// produce publishes at the rate until ctx ends; what it has begun it brings to an end.
func (r *role) produce(ctx context.Context) {
	var all sync.WaitGroup
	var n atomic.Int64
	for range producers {
		all.Go(func() {
			ticker := time.NewTicker(time.Second * producers / time.Duration(r.rate))
			defer ticker.Stop()
			for ctx.Err() == nil {
				<-ticker.C
				job := fmt.Sprintf("%s-%d", r.name, n.Add(1))
				r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Outcome: history.Begun})
				late, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainFor)
				err := r.insist(late, func(ctx context.Context, conn *grpc.ClientConn) error {
					_, err := argusv1.NewTaskQueueClient(conn).Publish(ctx, &argusv1.PublishRequest{RequestId: job,
						Task: &argusv1.Task{JobId: job, Attributes: map[string]string{"canary": r.canary}}, InitialState: &argusv1.InitialState{}})
					return err
				})
				cancel()
				if err != nil {
					log.Printf("%s: %v", job, err)
					continue
				}
				r.log.Add(history.Event{Kind: history.Publish, Who: r.name, Job: job, Outcome: history.OK, Canary: r.canary})
			}
		})
	}
	all.Wait()
}

// work works on streams until ctx ends. Most tasks are done at once; some take a while,
// some longer than their lease, and some are given back.
func (r *role) work(ctx context.Context) {
	random := rand.New(rand.NewPCG(r.seed, 0))
	var tasks sync.WaitGroup
	for ctx.Err() == nil {
		if err := r.stream(ctx, random, &tasks); !errors.Is(err, io.EOF) {
			r.elsewhere()
		}
	}
	tasks.Wait()
}

// stream works on one stream, until it ends.
func (r *role) stream(ctx context.Context, random *rand.Rand, tasks *sync.WaitGroup) error {
	stream, err := argusv1.NewTaskQueueClient(r.conn()).Consume(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Consumer: r.name, MaxOutstanding: 50}}}); err != nil {
		return err
	}
	for {
		got, err := stream.Recv()
		if err != nil {
			return err
		}
		for _, d := range got.GetDeliveries().GetDeliveries() {
			lease, err := redis.ParseLease(d.GetLeaseToken())
			if err != nil {
				log.Fatal(err)
			}
			held := fmt.Sprint(lease.EntryID, " ", lease.Count)
			r.log.Add(history.Event{Kind: history.Deliver, Who: r.name, Job: d.GetTask().GetJobId(), Lease: held, Canary: d.GetTask().GetAttributes()["canary"]})
			took, chance := time.Duration(0), random.Float64()
			switch {
			case chance < 0.02:
				took = leaseTime + leaseTime/2
			case chance < 0.1:
				took = time.Duration(random.IntN(int(leaseTime / 2)))
			}
			progress, giveBack := random.Float64() < 0.3, random.Float64() < 0.02
			tasks.Go(func() { r.finish(context.WithoutCancel(ctx), d, held, took, progress, giveBack) })
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
		delay := time.Duration(0)
		_ = r.insist(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
			_, err := argusv1.NewTaskQueueClient(conn).Nack(ctx, &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), Delay: durationOf(delay)})
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
	if status.Code(err) == codes.FailedPrecondition {
		e.Outcome = history.Lost
	}
	r.log.Add(e)
}

// watch watches some of a producer's jobs, each until its result, whatever breaks in
// between.
func (r *role) watch(ctx context.Context) {
	var all sync.WaitGroup
	var n atomic.Int64
	for range watchers {
		all.Go(func() {
			for ctx.Err() == nil {
				job, cursor := fmt.Sprintf("%s-%d", r.producer, n.Add(1)*watchEvery), ""
				for done := false; !done && ctx.Err() == nil; {
					if done, cursor = r.follow(ctx, job, cursor); !done && ctx.Err() != nil {
						r.log.Add(history.Event{Kind: history.Waits, Who: r.name, Job: job})
					}
				}
			}
		})
	}
	all.Wait()
}

func (r *role) follow(ctx context.Context, job, cursor string) (done bool, after string) {
	stream, err := argusv1.NewCompletionClient(r.conn()).Watch(ctx, &argusv1.WatchRequest{JobId: job, AfterCursor: cursor})
	for err == nil {
		var frame *argusv1.WatchResponse
		if frame, err = stream.Recv(); err != nil {
			break
		}
		if e := frame.GetEvent(); e != nil {
			cursor = e.GetCursor()
			r.log.Add(history.Event{Kind: history.Watch, Who: r.name, Job: job, Cursor: cursor, Status: e.GetStatusText(), Canary: e.GetFields()["canary"]})
			if e.GetTerminal() {
				return true, cursor
			}
		}
	}
	if !errors.Is(err, io.EOF) && ctx.Err() == nil {
		r.elsewhere()
	}
	return false, cursor
}
