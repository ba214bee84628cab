package cli

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// StartServer starts a server with an in-memory store for the demo, and returns its address.
type StartServer func() (addr string, stop func(), err error)

// demoFlags are the flags of demo.
type demoFlags struct {
	jobs, workers int
	pace          time.Duration
}

// DemoCommand is the command that shows a producer, workers and watchers with a server of their own.
func DemoCommand(p *shell.Process, start StartServer) *cobra.Command {
	var f demoFlags
	command := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a server, a producer and workers in one terminal",
		Long: `See it work: a server with an in-memory store, a producer that publishes scan jobs, and
workers that take random time and sometimes fail or requeue a task. The terminal shows them
live; where the output is no terminal, the demo prints plain lines. It ends by itself, with a
summary.`,
		Example: `  argus demo
  argus demo --jobs 50 --workers 8 --pace 100ms`,
		Args: shell.NoArgs,
		RunE: func(command *cobra.Command, _ []string) error { return runDemo(command.Context(), p, f, start) },
	}
	flags := command.Flags()
	flags.SortFlags = false
	flags.IntVar(&f.jobs, "jobs", 20, "number of jobs to publish")
	flags.IntVar(&f.workers, "workers", 3, "number of workers")
	flags.DurationVar(&f.pace, "pace", 400*time.Millisecond, "approximate duration of a step of a scan")
	return command
}

// runDemo starts the server and runs the demo with it.
func runDemo(ctx context.Context, p *shell.Process, f demoFlags, start StartServer) error {
	if f.jobs < 1 || f.workers < 1 || f.pace < 0 {
		return shell.Usagef("--jobs, --workers: must be at least 1; --pace: must not be negative")
	}
	addr, stop, err := start()
	if err != nil {
		return err
	}
	defer stop()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	d := &demo{demoFlags: f, queue: argusv1.NewTaskQueueClient(conn), state: argusv1.NewJobStateClient(conn),
		completion: argusv1.NewCompletionClient(conn), board: newBoard(p.Stdout, f.jobs, f.workers)}
	err = d.run(ctx)
	d.board.close()
	if err != nil {
		return err
	}
	return d.board.summary(p.Stdout)
}

// demo is a producer, workers and watchers in one process. They use gRPC, as separate processes
// would.
type demo struct {
	demoFlags
	queue      argusv1.TaskQueueClient
	state      argusv1.JobStateClient
	completion argusv1.CompletionClient
	board      *board
}

// errDemoDone is the cause that ends a demo whose jobs all have their results.
var errDemoDone = errors.New("done")

// run ends when every job has its result, when ctx ends, or with the first error.
func (d *demo) run(ctx context.Context) error {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	report := func(err error) {
		if err != nil {
			stop(err) // the first error is the cause; later ones follow from it
		}
	}
	var watchers, others sync.WaitGroup
	others.Go(func() {
		report(d.produce(running, func(job string) { watchers.Go(func() { report(d.follow(running, job)) }) }))
		watchers.Wait()
		stop(errDemoDone)
	})
	for i := range d.workers {
		others.Go(func() { report(d.work(running, i)) })
	}
	others.Wait()
	if cause := context.Cause(running); cause != errDemoDone && ctx.Err() == nil {
		return cause
	}
	return nil
}

var demoScanners = []string{"trivy", "clamav", "semgrep", "gitleaks"}

// produce publishes the jobs, at random intervals.
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
		if !client.Sleep(ctx, time.Duration(rand.Float64()*float64(d.pace)/2)) {
			return nil
		}
	}
	return nil
}

// follow watches a job to its result.
func (d *demo) follow(ctx context.Context, job string) error {
	stream, err := d.completion.Watch(ctx, &argusv1.WatchRequest{JobId: job})
	for err == nil {
		var frame *argusv1.WatchResponse
		if frame, err = stream.Recv(); err == nil && frame.GetEvent().GetTerminal() {
			d.board.completed(frame.GetEvent())
			return nil
		}
	}
	return err
}
