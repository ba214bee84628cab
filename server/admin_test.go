package server_test

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestAdmin(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{RetryMin: time.Hour, RetryMax: time.Hour}}) // what waits does so beyond the test
		for i := range 6 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_task_queue"), Values: []any{"no", "task", "bin", "\xff"}})
		for range 3 {
			n, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true, Reason: "bad image"})
			if err != nil || n.GetOutcome() != argusv1.NackOutcome_NACK_OUTCOME_DEAD {
				t.Fatal(n, err)
			}
		}
		if n, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken()}); err != nil || n.GetDelay().AsDuration() < 30*time.Minute {
			t.Fatal("without a delay, the queue's back-off:", n, err)
		}
		leased := b.readOne(t)

		q, err := b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{})
		if q := q.GetQueue(); err != nil || q.GetName() != "argus_task_queue" || q.GetWaiting() != 2 || q.GetLeased() != 1 || q.GetDelayed() != 1 || q.GetDead() != 3 ||
			q.GetOldestPublishTime() == nil || q.GetPauseTime() != nil || len(q.GetGroups()) != 1 || q.GetGroups()[0].GetConsumers() != 1 {
			t.Error(q, err)
		}
		if list, err := b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{}); err != nil || len(list.GetQueues()) != 1 {
			t.Error(list, err)
		}
		if c, err := b.admin.ListConsumers(b.ctx, &argusv1.ListConsumersRequest{Group: "argus-workers"}); err != nil || len(c.GetConsumers()) != 1 || c.GetConsumers()[0].GetPending() != 1 {
			t.Error(c, err)
		}
		if p, err := b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageSize: 1}); err != nil || len(p.GetTasks()) != 1 || p.GetNextPageToken() == "" ||
			p.GetTasks()[0].GetPlace() != argusv1.TaskPlace_TASK_PLACE_LEASED || p.GetTasks()[0].GetJobId() != leased.GetTask().GetJobId() {
			t.Error(p, err)
		}
		job, err := b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: "job-0"})
		if err != nil || job.GetStatus() != argusv1.JobStatus_JOB_STATUS_FAILED || !job.GetResult().GetTerminal() ||
			job.GetTask().GetPlace() != argusv1.TaskPlace_TASK_PLACE_DEAD || job.GetTask().GetCause() != "rejected" || job.GetTask().GetReason() != "bad image" {
			t.Error(job, err)
		}

		// Dead letters, page by page.
		var ids []string
		for request := (&argusv1.ListDeadLettersRequest{PageSize: 2}); ; {
			page, err := b.admin.ListDeadLetters(b.ctx, request)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page.GetDeadLetters() {
				ids = append(ids, d.GetId())
				if d.GetTask().GetJobId() == "" || d.GetDeathTime() == nil || d.GetSourceMessageId() == "" || d.GetInfo().GetAttempts() != 1 {
					t.Error(d)
				}
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if len(ids) != 3 {
			t.Fatal(ids)
		}
		if r, err := b.admin.RedriveDeadLetters(b.ctx, &argusv1.RedriveDeadLettersRequest{Ids: ids[:1]}); err != nil || r.GetRedriven() != 1 {
			t.Error(r, err)
		}
		if r, err := b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{All: true}); err != nil || r.GetDeleted() != 2 {
			t.Error(r, err)
		}

		// Pause, purge, resume.
		if _, err := b.admin.PauseQueue(b.ctx, &argusv1.PauseQueueRequest{}); err != nil {
			t.Fatal(err)
		}
		if r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: &durationpb.Duration{}}); err != nil || len(r.GetDeliveries()) != 0 {
			t.Error(r, err)
		}
		if p, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{DryRun: true}); err != nil || p.GetWaiting() != 3 || p.GetDelayed() != 1 || p.GetLeased() != 1 {
			t.Error(p, err)
		}
		if p, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{}); err != nil || p.GetWaiting() != 3 || p.GetDelayed() != 1 || p.GetLeased() != 1 {
			t.Error(p, err)
		}
		if _, err := b.admin.ResumeQueue(b.ctx, &argusv1.ResumeQueueRequest{}); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "next")
		if d := b.readOne(t); d.GetTask().GetJobId() != "next" {
			t.Error(d)
		}

		// Cancel.
		c, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: leased.GetTask().GetJobId(), Reason: "enough"})
		if err != nil || c.GetWas() != argusv1.JobStatus_JOB_STATUS_RUNNING || c.GetCursor() != "" {
			t.Error(c, err)
		}
		if x, err := b.queue.ExtendLease(b.ctx, &argusv1.ExtendLeaseRequest{LeaseToken: leased.GetLeaseToken()}); err != nil || !x.GetCancelRequested() {
			t.Error(x, err)
		}
		if job, err := b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: leased.GetTask().GetJobId()}); err != nil || !job.GetCancelRequested() {
			t.Error(job, err)
		}
		c, err = b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "job-0"})
		if err != nil || c.GetWas() != argusv1.JobStatus_JOB_STATUS_CANCELLED || c.GetCursor() == "" {
			t.Error(c, err)
		}
	})
}
