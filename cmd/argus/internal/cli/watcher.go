package cli

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// watcher follows jobs and prints their events.
type watcher struct {
	*client.Client
	after        string // only events after this cursor
	includeState bool
	timeout      time.Duration // 0 for none
	// hint returns why there is no result; "" if it finds no reason.
	hint func(context.Context) string

	printing sync.Mutex
}

// watch follows jobs until each has its result.
func (w *watcher) watch(ctx context.Context, jobs []string) error {
	ctx, cancel := withTimeout(ctx, w.timeout)
	defer cancel()
	defer hintWhile(ctx, w.Client, w.hint)()
	var watches sync.WaitGroup
	errs := make([]error, len(jobs))
	for i, job := range jobs {
		watches.Go(func() { errs[i] = w.watchJob(ctx, job) })
	}
	watches.Wait()
	return worst(errs)
}

// watchJob follows one job to its result, over any number of connections.
func (w *watcher) watchJob(ctx context.Context, job string) error {
	request := &argusv1.WatchRequest{JobId: job, AfterCursor: w.after, IncludeState: w.includeState}
	for {
		event, err := w.follow(ctx, request)
		switch {
		case event != nil:
			return resultError(event)
		case hasEnded(ctx, err):
			return endError(ctx)
		case err != nil && !w.Transient(err):
			return w.ExitError(err)
		}
		if !client.Sleep(ctx, client.RetryPause) {
			return endError(ctx)
		}
	}
}

// follow follows a job over one connection. It returns the terminal event; else it leaves in r the
// cursor after which to continue.
func (w *watcher) follow(ctx context.Context, r *argusv1.WatchRequest) (*argusv1.CompletionEvent, error) {
	stream, err := w.Completion.Watch(ctx, r)
	if err != nil {
		return nil, err
	}
	for {
		frame, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil, shell.Exitf(shell.ExitFailure, "the watch of %s ended after its result", output.ID(r.GetJobId()))
		} else if err != nil {
			return nil, err
		}
		w.SetReached()
		r.AfterCursor = frame.GetCursor()
		if err := w.print(r.GetJobId(), frame); err != nil {
			return nil, shell.ExitError{Code: shell.ExitFailure, Err: err}
		}
		if event := frame.GetEvent(); event.GetTerminal() {
			return event, nil
		}
	}
}

// print prints an event, or a change of the state.
func (w *watcher) print(job string, frame *argusv1.WatchResponse) error {
	w.printing.Lock()
	defer w.printing.Unlock()
	switch {
	case frame.GetEvent() != nil:
		return w.Out.Print(frame.GetEvent(), eventRow(frame.GetEvent()))
	case frame.GetStateChange() != nil:
		changed := output.Fields(frame.GetStateChange().GetFields())
		for _, name := range frame.GetStateChange().GetRemoved() {
			changed += " " + name + " (removed)"
		}
		return w.Out.Print(frame.GetStateChange(), []string{output.ID(job), "state", strings.TrimSpace(changed)})
	}
	return nil
}
