package server_test

import (
	"fmt"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// listTasks lists all tasks in a place, page by page.
func (b *bundle) listTasks(t *testing.T, r *argusv1.ListTasksRequest) (all []*argusv1.TaskInfo, pages int) {
	t.Helper()
	for {
		page, err := b.admin.ListTasks(b.ctx, r)
		if err != nil {
			t.Fatal(err)
		}
		if size := proto.Size(page); size > 4<<20 {
			t.Fatalf("a page has %d bytes, want 4 MiB at most", size)
		}
		all, pages = append(all, page.GetTasks()...), pages+1
		if r.PageToken = page.GetNextPageToken(); r.PageToken == "" {
			return all, pages
		}
	}
}

func TestListTasks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for i := range 5 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true, Reason: "bad image"}); err != nil {
			t.Fatal(err)
		}
		b.readOne(t)
		_, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: b.readOne(t).GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
		if err != nil {
			t.Fatal(err)
		}
		for place, want := range map[argusv1.TaskPlace]string{
			argusv1.TaskPlace_TASK_PLACE_WAITING: "job-3 job-4", argusv1.TaskPlace_TASK_PLACE_LEASED: "job-1",
			argusv1.TaskPlace_TASK_PLACE_DELAYED: "", argusv1.TaskPlace_TASK_PLACE_DEAD: "job-0",
		} {
			tasks, _ := b.listTasks(t, &argusv1.ListTasksRequest{Place: place, PageSize: 1})
			var jobs []string
			for _, task := range tasks {
				jobs = append(jobs, task.GetJobId())
				if task.GetPlace() != place || task.GetQueue() != "argus_task_queue" || task.GetMessageId() == "" {
					t.Errorf("task %v, want its place, queue and message id", task)
				}
			}
			if got := strings.Join(jobs, " "); got != want {
				t.Errorf("%v: %q, want %q", place, got, want)
			}
		}
		jobs := 0
		for r := (&argusv1.ListRequest{}); ; { // a page may be empty, and others follow
			list, err := b.state.List(b.ctx, r)
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range list.GetJobs() {
				jobs++
				isDone := job.GetStatus() == argusv1.JobStatus_JOB_STATUS_COMPLETED || job.GetStatus() == argusv1.JobStatus_JOB_STATUS_FAILED
				if isDone != (job.GetCompletedAt() != nil) {
					t.Errorf("job %v, want a completion time exactly if it is done", job)
				}
			}
			if r.PageToken = list.GetNextPageToken(); r.PageToken == "" {
				break
			}
		}
		if jobs == 0 {
			t.Error("no jobs")
		}
		_, err = b.admin.ListTasks(b.ctx, &argusv1.ListTasksRequest{})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		_, err = b.admin.ListTasks(b.ctx, &argusv1.ListTasksRequest{Place: argusv1.TaskPlace_TASK_PLACE_DEAD, PageToken: "x"})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		_, err = b.admin.ListTasks(b.ctx, &argusv1.ListTasksRequest{Queue: "none", Place: argusv1.TaskPlace_TASK_PLACE_DEAD})
		wantError(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_QUEUE_NOT_FOUND)
	})
}

// A page stays within the maximum message size, however long the reasons and names of its tasks.
func TestListTasksFitsAMessage(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		pipe := b.raw.Pipeline()
		const n = 700 // twice the maximum message size, after truncation
		for i := range n {
			pipe.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_dead:argus_task_queue"), Values: []any{"job_id", fmt.Sprint("job-", i),
				"argus_reason", strings.Repeat("é", 3<<10), "argus_cause", strings.Repeat("c", 8<<10), "argus_group", "\xff"}})
		}
		if _, err := pipe.Exec(b.ctx); err != nil {
			t.Fatal(err)
		}
		tasks, pages := b.listTasks(t, &argusv1.ListTasksRequest{Place: argusv1.TaskPlace_TASK_PLACE_DEAD, PageSize: 1000})
		if len(tasks) != n || pages < 2 {
			t.Errorf("%d tasks on %d pages, want %d on several", len(tasks), pages, n)
		}
	})
}
