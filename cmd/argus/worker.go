package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// exitRetry is the exit code by which a command asks to be run again later: EX_TEMPFAIL
// of sysexits.h.
const exitRetry = 75

// worker runs a command for each task.
type worker struct {
	*client
	queue, group, consumer string
	command                []string
	concurrency            int
	retryDelay             time.Duration
	drainTimeout           time.Duration
	killDelay              time.Duration

	running                                     atomic.Int64
	completed, failed, retried, lost, cancelled atomic.Int64
}

func (p *program) worker() *cobra.Command {
	w := &worker{killDelay: 5 * time.Second}
	command, c := p.command(&cobra.Command{
		Use:   "worker [flags] -- COMMAND [ARGUMENT...]",
		Short: "Run a command for each task",
		Long: `Run a command for each task. It gets the task as JSON on its standard input, and in its
environment ARGUS_JOB_ID, ARGUS_REPORT_ID, ARGUS_ORGANIZATION_ID, ARGUS_GCS_URI,
ARGUS_SCANNERS (separated by commas), ARGUS_PART, ARGUS_TIMEOUT_SECONDS, ARGUS_ATTEMPT,
ARGUS_MESSAGE_ID and ARGUS_LEASE_TOKEN. While it runs, the worker renews the lease.

How the command ends is the job's result:
  exit 0    completed; the first 64 KiB of its standard output are the field "output"
  exit 75   to be run again later; failed when the queue gives it up
  another   failed; the last of its standard error is the error message
A command that runs longer than the task's timeout_seconds is stopped, and the job has
failed. A command whose lease is lost is stopped. So is one whose job's state says "cancelled",
and that becomes its result. What a command leaves running in the background is killed when it
ends. If the worker itself is killed, its command may go on; the task is delivered again when
its lease has run out.

On SIGTERM or ^C the worker takes no more tasks and lets the running commands finish; after
--drain-timeout, or at a second ^C, it stops them and gives their tasks back.`,
		Example: `  argus worker -- ./scan.sh
  argus worker --concurrency 4 --queue nightly -- python3 scan.py --fast
  argus worker -- sh -c 'echo "$ARGUS_JOB_ID: $ARGUS_SCANNERS"'`,
		Args: atLeast(1, "a command after --"),
	}, func(ctx context.Context, c *client, args []string) error {
		w.command = args
		return w.run(ctx)
	})
	w.client = c
	flags := command.Flags()
	flags.StringVar(&w.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&w.group, "group", "", "consumer group; empty means the server's default")
	flags.StringVar(&w.consumer, "consumer", defaultConsumer(), "this worker's name")
	flags.IntVar(&w.concurrency, "concurrency", 1, "how many commands run at once")
	flags.DurationVar(&w.retryDelay, "retry-delay", 0, "how long to wait before a task is run again; 0 means the queue's back-off")
	flags.DurationVar(&w.drainTimeout, "drain-timeout", 30*time.Second, "how long running commands may take after SIGTERM")
	c.connection()
	return command
}

// run works until ctx ends, then drains.
func (w *worker) run(ctx context.Context) error {
	if w.concurrency < 1 {
		return usageError(errors.New("concurrency: must be at least 1"))
	}
	if _, err := exec.LookPath(w.command[0]); err != nil {
		return usageError(fmt.Errorf("command: %w", err))
	}
	// The commands outlive ctx by the drain time-out, or until the next signal.
	commands, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	draining := make(chan struct{})
	loop, end := context.WithCancelCause(ctx)
	defer end(nil)
	noDrain := context.AfterFunc(loop, func() {
		defer close(draining)
		time.AfterFunc(w.drainTimeout, stop)
		w.onSignal(stop)
		if w.running.Load() > 0 {
			reason := ""
			if ctx.Err() == nil {
				reason = context.Cause(loop).Error() + "; "
			}
			fmt.Fprintf(w.stderr, "argus worker: %sfinishing what runs; ^C again stops it\n", reason)
		}
	})
	var slots sync.WaitGroup
	for range w.concurrency {
		slots.Go(func() {
			if err := w.loop(loop, commands); err != nil {
				end(err) // the others end too
			}
		})
	}
	slots.Wait()
	if !noDrain() {
		<-draining
	}
	some := ""
	if n := w.cancelled.Load(); n > 0 {
		some = fmt.Sprintf(", %d cancelled", n)
	}
	fmt.Fprintf(w.stderr, "argus worker: %d completed, %d failed, %d to be run again, %d lost%s\n",
		w.completed.Load(), w.failed.Load(), w.retried.Load(), w.lost.Load(), some)
	if ctx.Err() != nil {
		return nil
	}
	return context.Cause(loop)
}

// readWait is how long one Read waits: a worker that stops leaves a Read at once, so
// this only bounds how long a broken connection goes unnoticed.
const readWait = 20 * time.Second

// loop reads one task at a time and runs the command for it.
func (w *worker) loop(ctx, commands context.Context) error {
	for ctx.Err() == nil {
		response, err := w.client.queue.Read(ctx, &argusv1.ReadRequest{Queue: w.queue, Group: w.group, Consumer: w.consumer,
			MaxTasks: 1, Wait: durationpb.New(readWait)})
		switch {
		case ctx.Err() != nil && err != nil:
			return nil
		case w.transient(err):
			pause(ctx, retryPause)
		case err != nil:
			return w.told(err)
		}
		for _, d := range response.GetDeliveries() {
			if err := w.work(commands, d); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is how a command ended.
type outcome int

const (
	succeeded outcome = iota
	failed
	tryAgain
	givenBack // the worker itself is stopped
	leaseGone
	cancelled
	unfit // the command can't be started here
)

// work runs the command for one task and settles it. An error means that this worker
// can't run the command at all.
func (w *worker) work(ctx context.Context, d *argusv1.Delivery) error {
	w.running.Add(1)
	defer w.running.Add(-1)
	how, output, message := w.execute(ctx, d)
	// Settling must not be cut off by the end of the worker.
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), retryFor)
	defer cancel()
	err := w.retry(settle, func() error { return w.settle(settle, d, &how, output, message) })
	if isReason(err, "INVALID_ARGUMENT") { // no result of it will ever do
		how, message = failed, w.told(err).Error()
		_, err = w.client.queue.Nack(settle, &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), DeadLetter: true, Reason: clip(message, 4<<10)})
	}
	counter := map[outcome]*atomic.Int64{succeeded: &w.completed, failed: &w.failed, tryAgain: &w.retried, givenBack: &w.retried, unfit: &w.retried, leaseGone: &w.lost, cancelled: &w.cancelled}[how]
	if isReason(err, "LEASE_LOST") {
		counter, err = &w.lost, nil
	}
	if err != nil {
		counter = &w.lost
		fmt.Fprintf(w.stderr, "argus worker: job %s: %v\n", printable(d.GetTask().GetJobId()), w.told(err))
	}
	counter.Add(1)
	if how == unfit {
		return fmt.Errorf("command: %s", message)
	}
	return nil
}

// settle records how a task ended. The queue may have given it up instead of running it
// again: then how says so.
func (w *worker) settle(ctx context.Context, d *argusv1.Delivery, how *outcome, output, message string) error {
	switch *how {
	case leaseGone:
		return nil
	case tryAgain, givenBack, unfit:
		request := &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), Release: *how != tryAgain}
		if *how == tryAgain {
			request.Reason = clip(message, 4<<10)
		}
		if *how == tryAgain && w.retryDelay > 0 {
			request.Delay = durationpb.New(w.retryDelay)
		}
		response, err := w.client.queue.Nack(ctx, request)
		switch response.GetOutcome() {
		case argusv1.NackOutcome_NACK_OUTCOME_DEAD:
			*how = failed
		case argusv1.NackOutcome_NACK_OUTCOME_CANCELLED:
			*how = cancelled
		}
		return err
	}
	request := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED, Part: d.GetTask().GetPart()}
	switch *how {
	case failed:
		request.Status, request.ErrorMessage = argusv1.JobStatus_JOB_STATUS_FAILED, clip(message, 64<<10)
	case cancelled:
		request.Status = argusv1.JobStatus_JOB_STATUS_CANCELLED
	}
	if output != "" {
		request.Fields = map[string]string{"output": output}
	}
	_, err := w.client.queue.Complete(ctx, request)
	return err
}

// clip shortens text that may be too long for a field, or not be UTF-8.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") // without the part of a character
	}
	return text
}
