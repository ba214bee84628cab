package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// flush publishes the batch, without the tasks that the server refuses. Its request id names its
// place in the file: if a line has changed since an earlier upload, the server reports a conflict
// instead of publishing tasks twice.
func (u *upload) flush(ctx context.Context) error {
	id := fmt.Sprintf("%s-%d.%d", u.requestID, u.block, u.part)
	for len(u.batch.tasks) > 0 {
		response, err := u.send(ctx, id)
		if err == nil {
			if err := u.countPublished(response); err != nil {
				return err
			}
			break
		}
		bad, ok := badTask(u.batch.tasks, err)
		if !ok || bad >= len(u.batch.tasks) {
			if u.MayHaveSucceeded(err) {
				u.unknown = u.batch.lines
			}
			return err
		}
		u.refuse(u.batch.lines[bad], errors.New(output.OneLine(status.Convert(err).Message())))
		u.batch.remove(bad)
	}
	u.batch = batch{}
	u.part++
	u.progress.show(u.published + u.before)
	return nil
}

func (b *batch) remove(i int) {
	b.tasks, b.lines = slices.Delete(b.tasks, i, i+1), slices.Delete(b.lines, i, i+1)
}

// badTask returns the index of the task that an INVALID_ARGUMENT or a JOB_ACTIVE is about.
func badTask(tasks []*argusv1.Task, err error) (index int, ok bool) {
	if job := client.Metadata(err)["job_id"]; client.HasReason(err, "JOB_ACTIVE") && job != "" {
		index = slices.IndexFunc(tasks, func(t *argusv1.Task) bool { return t.GetJobId() == job })
		return index, index >= 0
	}
	for _, detail := range status.Convert(err).Details() {
		if bad, is := detail.(*errdetails.BadRequest); is && len(bad.GetFieldViolations()) > 0 {
			_, scanErr := fmt.Sscanf(bad.GetFieldViolations()[0].GetField(), "tasks[%d]", &index)
			return index, scanErr == nil
		}
	}
	return 0, false
}

// sendGrace is how long a batch in flight may take after an interrupt.
const sendGrace = 5 * time.Second

// send publishes the batch. An interrupt does not end the call at once, so that the summary can say
// the outcome of the batch.
func (u *upload) send(ctx context.Context, id string) (*argusv1.PublishBatchResponse, error) {
	call, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(sendGrace, cancel) })()
	request := &argusv1.PublishBatchRequest{Queue: u.queue, Tasks: u.batch.tasks, RequestId: id}
	var response *argusv1.PublishBatchResponse
	err := u.Retry(ctx, func() (err error) {
		response, err = u.Queue.PublishBatch(call, request)
		return err
	})
	return response, err
}
