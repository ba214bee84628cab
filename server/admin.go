package server

import (
	"context"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// admin is the service Admin.
type admin struct {
	argusv1.UnsafeAdminServer

	broker Broker
}

func (a *admin) ListQueues(ctx context.Context, r *argusv1.ListQueuesRequest) (*argusv1.ListQueuesResponse, error) {
	size := maxPage // callers that know no pages get as many as one may hold
	if r.GetPageSize() != 0 {
		var err error
		if size, err = pageSize(r.GetPageSize()); err != nil {
			return nil, err
		}
	}
	queues, next, err := a.broker.Queues(ctx, r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListQueuesResponse{NextPageToken: next}
	for _, q := range queues {
		response.Queues = append(response.Queues, toQueue(q))
	}
	return response, nil
}

func (a *admin) GetQueue(ctx context.Context, r *argusv1.GetQueueRequest) (*argusv1.GetQueueResponse, error) {
	q, err := a.broker.Queue(ctx, r.GetQueue())
	if err != nil {
		return nil, err
	}
	return &argusv1.GetQueueResponse{Queue: toQueue(q)}, nil
}

func toQueue(q redis.QueueInfo) *argusv1.Queue {
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

func (a *admin) ListConsumers(ctx context.Context, r *argusv1.ListConsumersRequest) (*argusv1.ListConsumersResponse, error) {
	consumers, err := a.broker.Consumers(ctx, r.GetQueue(), r.GetGroup())
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListConsumersResponse{}
	for _, c := range consumers {
		response.Consumers = append(response.Consumers, &argusv1.Consumer{Group: valid(c.Group), Name: valid(c.Name), Pending: c.Pending, Idle: durationpb.New(c.Idle)})
	}
	return response, nil
}

// Bounds of a page.
const (
	defaultPage = 100
	maxPage     = 1000
)

func pageSize(asked int32) (int, error) {
	switch {
	case asked == 0:
		return defaultPage, nil
	case asked < 0 || asked > maxPage:
		return 0, &redis.ArgumentError{Field: "page_size", Problem: fmt.Sprintf("is %d, want 1 to %d", asked, maxPage)}
	}
	return int(asked), nil
}

func (a *admin) ListPending(ctx context.Context, r *argusv1.ListPendingRequest) (*argusv1.ListPendingResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	pending, err := a.broker.Pending(ctx, r.GetQueue(), r.GetGroup(), r.GetPageToken(), size)
	if err != nil {
		return nil, err
	}
	response := &argusv1.ListPendingResponse{}
	for _, p := range pending {
		info := toTaskInfo(p.Place)
		info.Deleted = p.IsGone
		response.Tasks = append(response.Tasks, info)
	}
	if len(pending) == size {
		response.NextPageToken = pending[size-1].Cursor
	}
	return response, nil
}

func (a *admin) ListTasks(ctx context.Context, r *argusv1.ListTasksRequest) (*argusv1.ListTasksResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	where := redis.Where(strings.TrimPrefix(r.GetPlace().String(), "TASK_PLACE_"))
	tasks, next, err := a.broker.Tasks(ctx, redis.TaskList{Queue: r.GetQueue(), Where: where, Group: r.GetGroup(), After: r.GetPageToken(), Count: size})
	if err != nil {
		return nil, err
	}
	response, bytes := &argusv1.ListTasksResponse{NextPageToken: next}, 0
	for i, t := range tasks {
		info := toTaskInfo(t.Place)
		if bytes += proto.Size(info) + listOverhead; bytes > maxMessage-frameOverhead && i > 0 {
			response.NextPageToken = tasks[i-1].Cursor
			break
		}
		response.Tasks = append(response.Tasks, info)
	}
	return response, nil
}

// listOverhead is what a message needs for an entry of a list beside the entry itself.
const listOverhead = 8

func toTaskInfo(p redis.Place) *argusv1.TaskInfo {
	return &argusv1.TaskInfo{
		Place:           argusv1.TaskPlace(argusv1.TaskPlace_value["TASK_PLACE_"+string(p.Where)]),
		Queue:           p.Queue,
		MessageId:       p.EntryID,
		JobId:           p.Task.JobID,
		Group:           valid(p.Group),
		Consumer:        valid(p.Consumer),
		LeaseExpireTime: toTimestamp(p.LeaseExpires),
		DueTime:         toTimestamp(p.DueAt),
		PublishTime:     toTimestamp(p.PublishedAt),
		Attempts:        int32(p.Attempts),
		Failures:        int32(p.Failures),
		Reason:          valid(p.Reason),
		Cause:           valid(p.Cause),
	}
}

func (a *admin) GetJob(ctx context.Context, r *argusv1.GetJobRequest) (*argusv1.GetJobResponse, error) {
	info, err := a.broker.Job(ctx, r.GetJobId())
	if err != nil {
		return nil, err
	}
	response := &argusv1.GetJobResponse{JobId: r.GetJobId(), Status: toStatusEnum(info.Status), StatusText: valid(string(info.Status)), CancelRequested: info.Cancelled}
	if info.Result != nil {
		response.Result = toEvent(info.Result)
	}
	if info.Place.Where != redis.WhereNowhere {
		response.Task = toTaskInfo(info.Place)
	}
	return response, nil
}

func (a *admin) ListDeadLetters(ctx context.Context, r *argusv1.ListDeadLettersRequest) (*argusv1.ListDeadLettersResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	response, bytes, last := &argusv1.ListDeadLettersResponse{}, 0, r.GetPageToken()
	for len(response.DeadLetters) < size {
		count := min(deadLetterStep, size-len(response.DeadLetters))
		letters, err := a.broker.DeadLetters(ctx, r.GetQueue(), last, count)
		if err != nil {
			return nil, err
		}
		for _, l := range letters {
			letter := toDeadLetter(l)
			if bytes += proto.Size(letter); bytes > maxMessage-frameOverhead && len(response.DeadLetters) > 0 {
				response.NextPageToken = last
				return response, nil
			}
			response.DeadLetters = append(response.DeadLetters, letter)
			last = l.ID
		}
		if len(letters) < count {
			return response, nil
		}
	}
	response.NextPageToken = last
	return response, nil
}

// deadLetterStep is how many dead letters are read at once: they may be large.
const deadLetterStep = 20

func toDeadLetter(d redis.DeadLetter) *argusv1.DeadLetter {
	letter := &argusv1.DeadLetter{Id: d.ID, Info: toTaskInfo(d.Place), SourceMessageId: valid(d.SourceID), DeathTime: toTimestamp(d.DiedAt)}
	if d.IsTask {
		letter.Task = &argusv1.Task{CreatedAt: toTimestamp(d.Task.CreatedAt)}
		toTask(&d.Task, letter.Task)
	} else {
		letter.Fields, letter.BinaryFields = redis.SplitText(d.Fields)
	}
	if size := proto.Size(letter); size > maxMessage-frameOverhead {
		letter.Task = nil
		letter.Fields = map[string]string{redis.TruncatedField: fmt.Sprintf("the entry's %d bytes are more than a message can hold", size)}
		letter.BinaryFields = nil
	}
	return letter
}

func (a *admin) RedriveDeadLetters(ctx context.Context, r *argusv1.RedriveDeadLettersRequest) (*argusv1.RedriveDeadLettersResponse, error) {
	n, err := a.broker.Redrive(ctx, r.GetQueue(), r.GetAll(), r.GetIds())
	if err != nil {
		return nil, err
	}
	return &argusv1.RedriveDeadLettersResponse{Redriven: int32(n)}, nil
}

func (a *admin) DeleteDeadLetters(ctx context.Context, r *argusv1.DeleteDeadLettersRequest) (*argusv1.DeleteDeadLettersResponse, error) {
	n, err := a.broker.DeleteDeadLetters(ctx, r.GetQueue(), r.GetAll(), r.GetIds())
	if err != nil {
		return nil, err
	}
	return &argusv1.DeleteDeadLettersResponse{Deleted: int32(n)}, nil
}

func (a *admin) PurgeQueue(ctx context.Context, r *argusv1.PurgeQueueRequest) (*argusv1.PurgeQueueResponse, error) {
	if r.GetDryRun() {
		q, err := a.broker.Queue(ctx, r.GetQueue())
		if err != nil {
			return nil, err
		}
		return &argusv1.PurgeQueueResponse{Waiting: q.Waiting, Delayed: q.Delayed, Leased: q.Leased}, nil
	}
	purged, err := a.broker.Purge(ctx, r.GetQueue())
	if err != nil {
		return nil, err
	}
	return &argusv1.PurgeQueueResponse{Waiting: purged.Waiting, Delayed: purged.Delayed, Leased: purged.Leased}, nil
}

func (a *admin) CreateGroup(ctx context.Context, r *argusv1.CreateGroupRequest) (*argusv1.CreateGroupResponse, error) {
	created, err := a.broker.CreateGroup(ctx, r.GetQueue(), r.GetGroup())
	if err != nil {
		return nil, err
	}
	return &argusv1.CreateGroupResponse{Created: created}, nil
}

func (a *admin) DeleteGroup(ctx context.Context, r *argusv1.DeleteGroupRequest) (*argusv1.DeleteGroupResponse, error) {
	if err := a.broker.DeleteGroup(ctx, r.GetQueue(), r.GetGroup(), r.GetForce()); err != nil {
		return nil, err
	}
	return &argusv1.DeleteGroupResponse{}, nil
}

func (a *admin) PauseQueue(ctx context.Context, r *argusv1.PauseQueueRequest) (*argusv1.PauseQueueResponse, error) {
	if err := a.broker.Pause(ctx, r.GetQueue()); err != nil {
		return nil, err
	}
	return &argusv1.PauseQueueResponse{}, nil
}

func (a *admin) ResumeQueue(ctx context.Context, r *argusv1.ResumeQueueRequest) (*argusv1.ResumeQueueResponse, error) {
	if err := a.broker.Resume(ctx, r.GetQueue()); err != nil {
		return nil, err
	}
	return &argusv1.ResumeQueueResponse{}, nil
}
