package server

import (
	"context"
	"strings"

	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// TaskAdmin finds tasks and jobs.
type TaskAdmin interface {
	Pending(ctx context.Context, queue, group, after string, count int) ([]queue.PendingInfo, error)
	ListTasks(ctx context.Context, l admin.TaskQuery) (tasks []admin.ListedTask, next string, err error)
	Job(ctx context.Context, jobID string) (admin.JobInfo, error)
}

func (a *adminService) ListPending(ctx context.Context, r *argusv1.ListPendingRequest) (*argusv1.ListPendingResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	pending, err := a.store.Pending(ctx, r.GetQueue(), r.GetGroup(), r.GetPageToken(), size)
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

func (a *adminService) ListTasks(ctx context.Context, r *argusv1.ListTasksRequest) (*argusv1.ListTasksResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	where := queue.Where(strings.TrimPrefix(r.GetPlace().String(), "TASK_PLACE_"))
	tasks, next, err := a.store.ListTasks(ctx, admin.TaskQuery{Queue: r.GetQueue(), Where: where, Group: r.GetGroup(), After: r.GetPageToken(), Count: size})
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

func toTaskInfo(p queue.Place) *argusv1.TaskInfo {
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

func (a *adminService) GetJob(ctx context.Context, r *argusv1.GetJobRequest) (*argusv1.GetJobResponse, error) {
	info, err := a.store.Job(ctx, r.GetJobId())
	if err != nil {
		return nil, err
	}
	response := &argusv1.GetJobResponse{JobId: r.GetJobId(), Status: toStatusEnum(info.Status), StatusText: valid(string(info.Status)), CancelRequested: info.Cancelled}
	if info.Result != nil {
		response.Result = toEvent(info.Result)
	}
	if info.Place.Where != queue.WhereNowhere {
		response.Task = toTaskInfo(info.Place)
	}
	return response, nil
}
