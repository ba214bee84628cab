package server_test

import (
	"fmt"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Queues are listed in pages. A new one above the limit is refused.
func TestQueuePages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, job.Settings{MaxQueues: 4})
		for i := range 4 {
			if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: fmt.Sprint("q", i), Task: &argusv1.Task{}}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: "q4", Task: &argusv1.Task{}})
		wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_QUEUES)
		var names []string
		for request := (&argusv1.ListQueuesRequest{PageSize: 2}); ; {
			page, err := b.admin.ListQueues(b.ctx, request)
			if err != nil || len(page.GetQueues()) > 2 {
				t.Fatal(page, err)
			}
			for _, q := range page.GetQueues() {
				names = append(names, fmt.Sprint(q.GetName(), " ", q.GetWaiting()))
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if got := strings.Join(names, ", "); got != "argus_task_queue 0, q0 1, q1 1, q2 1, q3 1" {
			t.Errorf("queues %s, want the default one and four with a task each", got)
		}
		_, err = b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{PageSize: 1001})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		_, err = b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{PageToken: "{"})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
