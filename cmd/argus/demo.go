package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/server"
)

// demo is a server, a producer, workers and watchers in one process. They talk gRPC like
// anyone else.
type demo struct {
	*program
	jobs, workers int
	pace          time.Duration

	queue argusv1.TaskQueueClient
	state argusv1.JobStateClient
	done  argusv1.CompletionClient
	board *board
}

func (p *program) demo() *cobra.Command {
	d := &demo{program: p}
	command := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a server, a producer and workers in one terminal",
		Long: `See it work: a server with an in-memory store, a producer that publishes scan jobs, workers
that take random time and sometimes fail or give a job back, and the live picture of it.
It ends by itself, with a summary. Where the output is no terminal it prints plain lines.`,
		Example: `  argus demo
  argus demo --jobs 50 --workers 8 --pace 100ms`,
		Args: noArgs,
		RunE: func(command *cobra.Command, _ []string) error { return d.run(command.Context()) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.IntVar(&d.jobs, "jobs", 20, "how many jobs to publish")
	flags.IntVar(&d.workers, "workers", 3, "how many workers")
	flags.DurationVar(&d.pace, "pace", 400*time.Millisecond, "how long a step of a scan takes, about")
	return command
}

func (d *demo) run(ctx context.Context) error {
	if d.jobs < 1 || d.workers < 1 || d.pace < 0 {
		return usageError(errors.New("--jobs, --workers: must be at least 1; --pace: must not be negative"))
	}
	stop, err := d.start()
	if err != nil {
		return err
	}
	defer stop()
	d.board = newBoard(d.stdout, d.jobs, d.workers)
	defer d.board.close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make(chan error, 2*d.jobs+d.workers+1)
	report := func(err error) {
		if err != nil && ctx.Err() == nil {
			errs <- err
			cancel()
		}
	}
	var watchers, others sync.WaitGroup
	others.Go(func() {
		report(d.produce(ctx, func(job string) { watchers.Go(func() { report(d.follow(ctx, job)) }) }))
		watchers.Wait() // every job has its result
		cancel()
	})
	for i := range d.workers {
		others.Go(func() { report(d.work(ctx, i)) })
	}
	others.Wait()
	d.board.close()
	select {
	case err := <-errs:
		return err
	default:
		return d.board.summary(d.stdout)
	}
}

// start starts the server and connects to it.
func (d *demo) start() (stop func(), err error) {
	store, err := startEmbedded()
	if err != nil {
		return nil, err
	}
	client, err := redis.NewClient(redis.Config{Addr: store.addr(), Password: store.password, Prefix: "argus:"})
	if err != nil {
		store.close()
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	broker, err1 := redis.NewBroker(client, redis.BrokerConfig{Logger: log})
	listener, err2 := net.Listen("tcp", "localhost:0")
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	s := server.New(server.Config{Broker: broker, Logger: log})
	var serving sync.WaitGroup
	serving.Go(func() { _ = s.Serve(listener) })
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	d.queue, d.state, d.done = argusv1.NewTaskQueueClient(conn), argusv1.NewJobStateClient(conn), argusv1.NewCompletionClient(conn)
	return func() {
		_ = conn.Close()
		grace, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Shutdown(grace)
		serving.Wait()
		broker.Close()
		_ = client.Close()
		store.close()
	}, nil
}

var demoScanners = []string{"trivy", "clamav", "semgrep", "gitleaks"}

// produce publishes the jobs, one now and then.
func (d *demo) produce(ctx context.Context, published func(job string)) error {
	for i := range d.jobs {
		job := fmt.Sprintf("scan-%02d", i+1)
		first := rand.IntN(len(demoScanners))
		task := &argusv1.Task{JobId: job, Scanners: []string{demoScanners[first], demoScanners[(first+1)%len(demoScanners)]}}
		if _, err := d.queue.Publish(ctx, &argusv1.PublishRequest{Task: task, InitialState: &argusv1.InitialState{}}); err != nil {
			return err
		}
		d.board.published(job)
		published(job)
		if !pause(ctx, time.Duration(rand.Float64()*float64(d.pace)/2)) {
			return nil
		}
	}
	return nil
}

// follow watches a job to its result.
func (d *demo) follow(ctx context.Context, job string) error {
	stream, err := d.done.Watch(ctx, &argusv1.WatchRequest{JobId: job})
	for err == nil {
		var frame *argusv1.WatchResponse
		if frame, err = stream.Recv(); err == nil && frame.GetEvent().GetTerminal() {
			d.board.completed(frame.GetEvent())
			return nil
		}
	}
	return err
}

// work is one worker.
func (d *demo) work(ctx context.Context, number int) error {
	name := fmt.Sprintf("worker-%d", number+1)
	for ctx.Err() == nil {
		response, err := d.queue.Read(ctx, &argusv1.ReadRequest{Consumer: name, Wait: durationpb.New(10 * time.Second)})
		if err != nil {
			return err
		}
		for _, delivery := range response.GetDeliveries() {
			if err := d.scan(ctx, number, delivery); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan pretends to run the task's scanners, one after the other.
func (d *demo) scan(ctx context.Context, number int, delivery *argusv1.Delivery) error {
	task, token := delivery.GetTask(), delivery.GetLeaseToken()
	defer d.board.works(number, "")
	findings := 0
	for _, scanner := range task.GetScanners() {
		fields := map[string]string{"status": "running", scanner + "_status": "running"}
		if _, err := d.queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: token, ProgressFields: fields}); err != nil {
			return err
		}
		state, err := d.state.GetAll(ctx, &argusv1.GetAllRequest{JobId: task.GetJobId()})
		if err != nil {
			return err
		}
		d.board.works(number, fmt.Sprintf("%s  attempt %d  %s", task.GetJobId(), delivery.GetDeliveryAttempt(), joined(state.GetFields())))
		if !pause(ctx, d.pace/2+time.Duration(rand.Float64()*float64(d.pace))) {
			return nil
		}
		switch n := rand.IntN(20); {
		case n == 0:
			_, err := d.queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: token,
				Status: argusv1.JobStatus_JOB_STATUS_FAILED, ErrorMessage: scanner + ": no such image"})
			return err
		case n <= 2 && delivery.GetDeliveryAttempt() < 3:
			d.board.retried(task.GetJobId())
			_, err := d.queue.Nack(ctx, &argusv1.NackRequest{LeaseToken: token, Delay: durationpb.New(d.pace), Reason: scanner + ": registry is down"})
			return err
		}
		findings += rand.IntN(5)
		fields = map[string]string{scanner + "_status": "done"}
		if _, err := d.state.SetFields(ctx, &argusv1.SetFieldsRequest{JobId: task.GetJobId(), Fields: fields, LeaseToken: token}); err != nil {
			return err
		}
	}
	_, err := d.queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: argusv1.JobStatus_JOB_STATUS_COMPLETED,
		Fields: map[string]string{"findings": fmt.Sprint(findings)}})
	return err
}
