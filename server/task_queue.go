package server

import (
	"context"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// TaskStore is what the service TaskQueue needs from the store.
type TaskStore interface {
	Publisher
	Leaser
	Settler
	Canceller
}

// Canceller cancels jobs and finds the cancelled ones.
type Canceller interface {
	Cancel(ctx context.Context, jobID, reason string) (queue.Cancelled, error)
	Cancellations() *watch.Cancellations
	CancelledAmong(ctx context.Context, jobs []string) ([]string, error)
}

// taskQueue is the service TaskQueue. Its methods are in publish.go, lease.go, settle.go,
// consume.go and here.
type taskQueue struct {
	argusv1.UnsafeTaskQueueServer // so that a missing method does not compile

	tasks     TaskStore
	waits     *waitPolicy
	lifecycle *lifecycle
	streams   consumerStreams
}

func (q *taskQueue) Cancel(ctx context.Context, r *argusv1.CancelRequest) (*argusv1.CancelResponse, error) {
	cancelled, err := q.tasks.Cancel(ctx, r.GetJobId(), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &argusv1.CancelResponse{Was: toStatusEnum(cancelled.Was), Cursor: cancelled.Cursor}, nil
}
