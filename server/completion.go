package server

import (
	"context"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// EventStore is what the service Completion needs from the store.
type EventStore interface {
	Report(ctx context.Context, jobID string, result job.Result) (job.Recorded, error)
	Await(ctx context.Context, jobID string, wait time.Duration) (*job.Event, error)
	WatchFrames(jobID string, options watch.Options) (*watch.Watcher, error)
	Watches() *watch.Watcher
}

// completion is the service Completion. Watch is in watch.go, WatchMany in watch_many.go.
type completion struct {
	argusv1.UnsafeCompletionServer

	events      EventStore
	waits       *waitPolicy
	lifecycle   *lifecycle
	watchedJobs *watchLimit
}

func (c *completion) Publish(ctx context.Context, r *argusv1.CompletionPublishRequest) (*argusv1.CompletionPublishResponse, error) {
	recorded, err := c.events.Report(ctx, r.GetJobId(), job.Result{
		Status: fromStatusEnum(r.GetStatus()), Fields: r.GetFields(), Error: r.GetErrorMessage(), Part: r.GetPart(),
	})
	if err != nil {
		return nil, err
	}
	return &argusv1.CompletionPublishResponse{Cursor: recorded.Cursor, AlreadyCompleted: recorded.Already}, nil
}

func (c *completion) Await(ctx context.Context, r *argusv1.AwaitRequest) (*argusv1.AwaitResponse, error) {
	wait, err := c.waits.wait(ctx, r.GetWait())
	if err != nil {
		return nil, err
	}
	ctx, stop := c.lifecycle.bind(ctx)
	defer stop()
	event, err := c.events.Await(ctx, r.GetJobId(), wait)
	if withCause(ctx, err) == errShuttingDown {
		return &argusv1.AwaitResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if event == nil {
		return &argusv1.AwaitResponse{}, nil
	}
	return &argusv1.AwaitResponse{Done: true, Event: toEvent(event)}, nil
}
