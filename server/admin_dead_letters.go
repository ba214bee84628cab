package server

import (
	"context"
	"fmt"

	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// DeadLetterAdmin lists, redrives and deletes dead letters.
type DeadLetterAdmin interface {
	DeadLetters(ctx context.Context, queue, after string, count int) ([]admin.DeadLetter, error)
	Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error)
	DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error)
}

// deadLetterStep is how many dead letters are read at once: they may be large.
const deadLetterStep = 20

// ListDeadLetters ends a page early when the response is full.
func (a *adminService) ListDeadLetters(ctx context.Context, r *argusv1.ListDeadLettersRequest) (*argusv1.ListDeadLettersResponse, error) {
	size, err := pageSize(r.GetPageSize())
	if err != nil {
		return nil, err
	}
	response, bytes, last := &argusv1.ListDeadLettersResponse{}, 0, r.GetPageToken()
	for len(response.DeadLetters) < size {
		count := min(deadLetterStep, size-len(response.DeadLetters))
		letters, err := a.store.DeadLetters(ctx, r.GetQueue(), last, count)
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

func toDeadLetter(d admin.DeadLetter) *argusv1.DeadLetter {
	letter := &argusv1.DeadLetter{Id: d.ID, Info: toTaskInfo(d.Place), SourceMessageId: valid(d.SourceID), DeathTime: toTimestamp(d.DiedAt)}
	if d.IsTask {
		letter.Task = &argusv1.Task{CreatedAt: toTimestamp(d.Task.CreatedAt)}
		toTask(&d.Task, letter.Task)
	} else {
		letter.Fields, letter.BinaryFields = job.SplitText(d.Fields)
	}
	if size := proto.Size(letter); size > maxMessage-frameOverhead {
		letter.Task = nil
		letter.Fields = map[string]string{job.TruncatedField: fmt.Sprintf("the entry's %d bytes exceed the maximum message size", size)}
		letter.BinaryFields = nil
	}
	return letter
}

func (a *adminService) RedriveDeadLetters(ctx context.Context, r *argusv1.RedriveDeadLettersRequest) (*argusv1.RedriveDeadLettersResponse, error) {
	n, err := a.store.Redrive(ctx, r.GetQueue(), r.GetAll(), r.GetIds())
	if err != nil {
		return nil, err
	}
	return &argusv1.RedriveDeadLettersResponse{Redriven: int32(n)}, nil
}

func (a *adminService) DeleteDeadLetters(ctx context.Context, r *argusv1.DeleteDeadLettersRequest) (*argusv1.DeleteDeadLettersResponse, error) {
	n, err := a.store.DeleteDeadLetters(ctx, r.GetQueue(), r.GetAll(), r.GetIds())
	if err != nil {
		return nil, err
	}
	return &argusv1.DeleteDeadLettersResponse{Deleted: int32(n)}, nil
}
