package server

import (
	"context"
	"fmt"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Publisher adds tasks to queues.
type Publisher interface {
	Publish(ctx context.Context, r queue.PublishRequest) (p queue.Published, deduplicated bool, err error)
	PublishBatch(ctx context.Context, r queue.PublishBatchRequest) (p []queue.Published, deduplicated bool, err error)
}

func (q *taskQueue) Publish(ctx context.Context, r *argusv1.PublishRequest) (*argusv1.PublishResponse, error) {
	request, err := fromPublish(r)
	if err != nil {
		return nil, err
	}
	p, deduplicated, err := q.tasks.Publish(ctx, request)
	if err != nil {
		return nil, err
	}
	return &argusv1.PublishResponse{MessageId: p.EntryID, JobId: p.JobID, Deduplicated: deduplicated}, nil
}

func fromPublish(r *argusv1.PublishRequest) (request queue.PublishRequest, err error) {
	request.Queue, request.RequestID = r.GetQueue(), r.GetRequestId()
	if request.Task, err = fromTask("task", r.GetTask()); err != nil {
		return request, err
	}
	if request.Delay, err = fromDuration("delay", r.GetDelay()); err != nil {
		return request, err
	}
	if r.GetDelay() != nil && r.GetRunAt() != nil {
		return request, &job.ArgumentError{Field: "run_at", Problem: "can't be combined with delay; choose one"}
	}
	if request.RunAt, err = fromTimestamp("run_at", r.GetRunAt()); err != nil {
		return request, err
	}
	request.State, err = fromInitialState(r.GetInitialState())
	return request, err
}

func (q *taskQueue) PublishBatch(ctx context.Context, r *argusv1.PublishBatchRequest) (*argusv1.PublishBatchResponse, error) {
	request := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: r.GetQueue(), RequestID: r.GetRequestId()}}
	request.Tasks = make([]job.Task, len(r.GetTasks()))
	var err error
	for i, t := range r.GetTasks() {
		if request.Tasks[i], err = fromTask("", t); err != nil {
			return nil, prefixFields(fmt.Sprintf("tasks[%d]", i), err)
		}
	}
	if request.State, err = fromInitialState(r.GetInitialState()); err != nil {
		return nil, err
	}
	published, deduplicated, err := q.tasks.PublishBatch(ctx, request)
	if err != nil {
		return nil, err
	}
	response := &argusv1.PublishBatchResponse{Deduplicated: deduplicated,
		MessageIds: make([]string, len(published)), JobIds: make([]string, len(published))}
	for i, p := range published {
		response.MessageIds[i], response.JobIds[i] = p.EntryID, p.JobID
	}
	return response, nil
}
