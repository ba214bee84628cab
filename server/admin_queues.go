package server

import (
	"context"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/admin"
)

// QueueAdmin shows, purges and pauses queues.
type QueueAdmin interface {
	Queues(ctx context.Context, after string, count int) (queues []admin.QueueInfo, next string, err error)
	Queue(ctx context.Context, name string) (admin.QueueInfo, error)
	Purge(ctx context.Context, queue string) (admin.Purged, error)
	Pause(ctx context.Context, queue string) error
	Resume(ctx context.Context, queue string) error
}

func (a *adminService) ListQueues(ctx context.Context, r *argusv1.ListQueuesRequest) (*argusv1.ListQueuesResponse, error) {
	size := maxPage // clients from before there were pages get as many as possible
	if r.GetPageSize() != 0 {
		var err error
		if size, err = pageSize(r.GetPageSize()); err != nil {
			return nil, err
		}
	}
	queues, next, err := a.store.Queues(ctx, r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListQueuesResponse{NextPageToken: next}
	for _, q := range queues {
		response.Queues = append(response.Queues, toQueue(q))
	}
	return response, nil
}

func (a *adminService) GetQueue(ctx context.Context, r *argusv1.GetQueueRequest) (*argusv1.GetQueueResponse, error) {
	q, err := a.store.Queue(ctx, r.GetQueue())
	if err != nil {
		return nil, err
	}
	return &argusv1.GetQueueResponse{Queue: toQueue(q)}, nil
}

func toQueue(q admin.QueueInfo) *argusv1.Queue {
	queue := &argusv1.Queue{Name: q.Name, Waiting: q.Waiting, Leased: q.Leased, Delayed: q.Delayed, Dead: q.Dead,
		OldestPublishTime: toTimestamp(q.Oldest), PauseTime: toTimestamp(q.Paused)}
	for _, g := range q.Groups {
		group := &argusv1.ConsumerGroup{Name: valid(g.Name), Waiting: g.Waiting, Pending: g.Pending, Consumers: int32(g.Consumers), Unread: g.Unread}
		if g.Idle >= 0 {
			group.Idle = durationpb.New(g.Idle)
		}
		queue.Groups = append(queue.Groups, group)
	}
	return queue
}

func (a *adminService) PurgeQueue(ctx context.Context, r *argusv1.PurgeQueueRequest) (*argusv1.PurgeQueueResponse, error) {
	if r.GetDryRun() {
		q, err := a.store.Queue(ctx, r.GetQueue())
		if err != nil {
			return nil, err
		}
		return &argusv1.PurgeQueueResponse{Waiting: q.Waiting, Delayed: q.Delayed, Leased: q.Leased}, nil
	}
	purged, err := a.store.Purge(ctx, r.GetQueue())
	if err != nil {
		return nil, err
	}
	return &argusv1.PurgeQueueResponse{Waiting: purged.Waiting, Delayed: purged.Delayed, Leased: purged.Leased}, nil
}

func (a *adminService) PauseQueue(ctx context.Context, r *argusv1.PauseQueueRequest) (*argusv1.PauseQueueResponse, error) {
	if err := a.store.Pause(ctx, r.GetQueue()); err != nil {
		return nil, err
	}
	return &argusv1.PauseQueueResponse{}, nil
}

func (a *adminService) ResumeQueue(ctx context.Context, r *argusv1.ResumeQueueRequest) (*argusv1.ResumeQueueResponse, error) {
	if err := a.store.Resume(ctx, r.GetQueue()); err != nil {
		return nil, err
	}
	return &argusv1.ResumeQueueResponse{}, nil
}
