package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

const watchExits = `
The exit code is 0 when all jobs completed; else 10 when one failed, 11 when one was
cancelled, 12 when one is partial; 124 when the time was up.`

func (p *program) watch() *cobra.Command {
	var after string
	var timeout time.Duration
	var state bool
	command, c := p.command(&cobra.Command{
		Use:   "watch JOB...",
		Short: "Print the events of jobs until each has its result",
		Long: `Print the events of jobs until each has its result. A connection that breaks is made
again, and the watch goes on where it stopped.
` + watchExits,
		Example: `  argus watch demo-1
  argus watch demo-1 --state
  argus watch demo-1 demo-2 --timeout 10m -o jsonl`,
		Args: atLeast(1, "a job"),
	}, func(ctx context.Context, c *client, args []string) error {
		if after != "" && len(args) > 1 {
			return usageError(errors.New("--after: is for a single job"))
		}
		return c.watchJobs(ctx, args, watchOptions{after: after, timeout: timeout, state: state,
			hint: func(ctx context.Context) string { return c.jobHint(ctx, args[0]) }})
	})
	command.Flags().StringVar(&after, "after", "", "only events after this cursor")
	command.Flags().BoolVar(&state, "state", false, "print changes of the job's state too")
	command.Flags().DurationVar(&timeout, "timeout", 0, "give up after this; 0 means never")
	c.connection()
	return command
}

func (p *program) await() *cobra.Command {
	var timeout time.Duration
	command, c := p.command(&cobra.Command{
		Use:     "await JOB",
		Short:   "Wait for a job's result, and print only that",
		Long:    "Wait for a job's result, and print only that.\n" + watchExits,
		Example: "  argus await demo-1 --timeout 5m && echo done",
		Args:    exactly(1, "one job"),
	}, func(ctx context.Context, c *client, args []string) error {
		ctx, cancel := withTimeout(ctx, timeout)
		defer cancel()
		defer c.hintWhile(ctx, func(ctx context.Context) string { return c.jobHint(ctx, args[0]) })()
		for {
			var response *argusv1.AwaitResponse
			err := c.retry(ctx, func() (err error) {
				response, err = c.done.Await(ctx, &argusv1.AwaitRequest{JobId: args[0], Wait: durationpb.New(time.Minute)})
				return err
			})
			switch {
			case isOver(ctx, err):
				return ending(ctx)
			case err != nil:
				return err
			case response.GetDone():
				if err := c.print(response, eventRow(response.GetEvent())); err != nil {
					return err
				}
				return exitOf(response.GetEvent())
			}
		}
	})
	command.Flags().DurationVar(&timeout, "timeout", 0, "give up after this; 0 means never")
	c.connection()
	return command
}

// withTimeout is ctx with a time limit, if there is one.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}

// isOver is true when a wait's context has ended; the call may notice before the context.
func isOver(ctx context.Context, err error) bool {
	return ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded
}

// ending is the error of a wait that its context ended.
func ending(ctx context.Context) error {
	if !errors.Is(ctx.Err(), context.Canceled) {
		return codedError{code: exitTimedOut, err: errors.New("the time is up, and there is no result yet")}
	}
	return codedError{code: exitInterrupted, err: errors.New("interrupted")}
}

// watchOptions are what to watch of jobs, and how long.
type watchOptions struct {
	after   string
	timeout time.Duration
	state   bool
	// hint says why there is no result, if it can.
	hint func(context.Context) string
}

// watchJobs watches jobs until each has its result.
func (c *client) watchJobs(ctx context.Context, jobs []string, o watchOptions) error {
	ctx, cancel := withTimeout(ctx, o.timeout)
	defer cancel()
	defer c.hintWhile(ctx, o.hint)()
	var watches sync.WaitGroup
	var printing sync.Mutex
	ends := make([]error, len(jobs))
	for i, job := range jobs {
		watches.Go(func() {
			ends[i] = c.watchJob(ctx, &argusv1.WatchRequest{JobId: job, AfterCursor: o.after, IncludeState: o.state}, func(frame *argusv1.WatchResponse) error {
				printing.Lock()
				defer printing.Unlock()
				return c.printFrame(job, frame)
			})
		})
	}
	watches.Wait()
	return worst(ends)
}

// worst is the error that says most: a failure to watch before any result, and of the
// results the one with the lowest code.
func worst(ends []error) error {
	var found error
	rank := func(err error) int {
		var result jobEnd
		if !errors.As(err, &result) {
			return 0
		}
		return result.code
	}
	for _, err := range ends {
		if err != nil && (found == nil || rank(err) < rank(found)) {
			found = err
		}
	}
	var result jobEnd
	if errors.As(found, &result) {
		return codedError{code: result.code, err: result}
	}
	return found
}

// watchJob follows one job to its result, over any number of connections.
func (c *client) watchJob(ctx context.Context, r *argusv1.WatchRequest, show func(*argusv1.WatchResponse) error) error {
	for {
		event, err := c.follow(ctx, r, show)
		if event != nil {
			return exitOf(event)
		}
		switch {
		case isOver(ctx, err):
			return ending(ctx)
		case err != nil && !c.transient(err):
			return c.told(err)
		}
		if !pause(ctx, retryPause) {
			return ending(ctx)
		}
	}
}

// follow follows a job over one connection. It returns the terminal event; else r has the
// cursor to go on from.
func (c *client) follow(ctx context.Context, r *argusv1.WatchRequest, show func(*argusv1.WatchResponse) error) (*argusv1.CompletionEvent, error) {
	stream, err := c.done.Watch(ctx, r)
	if err != nil {
		return nil, err
	}
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, codedError{code: exitError, err: fmt.Errorf("the watch of %s ended after its result", idText(r.GetJobId()))}
		} else if err != nil {
			return nil, err
		}
		c.reached.Store(true)
		r.AfterCursor = frame.GetCursor()
		if err := show(frame); err != nil {
			return nil, codedError{code: exitError, err: err}
		}
		if event := frame.GetEvent(); event.GetTerminal() {
			return event, nil
		}
	}
}

// printFrame prints what a watch says: events, and changes of the state if they were asked
// for.
func (c *client) printFrame(job string, frame *argusv1.WatchResponse) error {
	switch {
	case frame.GetEvent() != nil:
		return c.print(frame.GetEvent(), eventRow(frame.GetEvent()))
	case frame.GetStateChange() != nil:
		changed := joined(frame.GetStateChange().GetFields())
		for _, name := range frame.GetStateChange().GetRemoved() {
			changed += " " + name + " (removed)"
		}
		return c.print(frame.GetStateChange(), []string{idText(job), "state", strings.TrimSpace(changed)})
	}
	return nil
}

func eventRow(e *argusv1.CompletionEvent) []string {
	return []string{idText(e.GetJobId()), statusCell(e.GetStatus(), e.GetStatusText()), clock(e.GetCompletedAt()), joined(e.GetFields())}
}

// jobEnd is a result other than completed.
type jobEnd struct {
	code int
	text string
}

func (j jobEnd) Error() string { return j.text }

// exitOf is the exit code of a result.
func exitOf(e *argusv1.CompletionEvent) error {
	code := map[argusv1.JobStatus]int{
		argusv1.JobStatus_JOB_STATUS_FAILED:    exitFailed,
		argusv1.JobStatus_JOB_STATUS_CANCELLED: exitCancelled,
		argusv1.JobStatus_JOB_STATUS_PARTIAL:   exitPartial,
	}[e.GetStatus()]
	switch {
	case e.GetStatus() == argusv1.JobStatus_JOB_STATUS_COMPLETED:
		return nil
	case code == 0: // a status that this program doesn't know yet
		code = exitError
	}
	text := fmt.Sprintf("the job %s is %s", idText(e.GetJobId()), statusWord(e.GetStatus(), e.GetStatusText()))
	if message := e.GetFields()["error_message"]; message != "" {
		text += ": " + oneLine(message)
	}
	return codedError{code: code, err: jobEnd{code, text}}
}
