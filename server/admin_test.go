package server_test

import (
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// setupQueue is setup with a queue that has something in every place. job-0 to job-2 are dead,
// job-3 waits for a retry beyond the end of the test, job-4 is leased; job-5 waits, and so does
// an entry that is no task.
func setupQueue(t *testing.T, e redistest.Engine) (b *bundle, leased *argusv1.Delivery) {
	t.Helper()
	b = setupWith(t, e, job.Settings{Queue: job.QueueSettings{RetryMin: time.Hour, RetryMax: time.Hour}})
	for i := range 6 {
		b.publish(t, fmt.Sprint("job-", i))
	}
	b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_task_queue"), Values: []any{"no", "task", "bin", "\xff"}})
	for range 3 {
		n := must(b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true, Reason: "bad image"}))(t)
		if n.GetOutcome() != argusv1.NackOutcome_NACK_OUTCOME_DEAD {
			t.Fatalf("Nack with dead_letter: %v, want DEAD", n)
		}
	}
	n := must(b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken()}))(t)
	if n.GetDelay().AsDuration() < 30*time.Minute {
		t.Fatalf("Nack without a delay: %v, want the queue's back-off", n)
	}
	return b, b.readOne(t)
}

func TestAdminShowsTheQueue(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, _ := setupQueue(t, e)
		q := must(b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{}))(t).GetQueue()
		if q.GetName() != "argus_task_queue" || q.GetWaiting() != 2 || q.GetLeased() != 1 || q.GetDelayed() != 1 || q.GetDead() != 3 {
			t.Errorf("queue %v, want 2 waiting, 1 leased, 1 delayed, 3 dead", q)
		}
		if q.GetOldestPublishTime() == nil || q.GetPauseTime() != nil || len(q.GetGroups()) != 1 || q.GetGroups()[0].GetConsumers() != 1 {
			t.Errorf("queue %v, want its oldest task, no pause, and a group with one consumer", q)
		}
		if list := must(b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{}))(t); len(list.GetQueues()) != 1 {
			t.Errorf("queues %v, want one", list)
		}
	})
}

func TestAdminShowsConsumersAndTheirTasks(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, leased := setupQueue(t, e)
		c := must(b.admin.ListConsumers(b.ctx, &argusv1.ListConsumersRequest{Group: "argus-workers"}))(t).GetConsumers()
		if len(c) != 1 || c[0].GetPending() != 1 {
			t.Errorf("consumers %v, want one that holds one task", c)
		}
		p := must(b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageSize: 1}))(t)
		if len(p.GetTasks()) != 1 || p.GetNextPageToken() == "" || p.GetTasks()[0].GetPlace() != argusv1.TaskPlace_TASK_PLACE_LEASED ||
			p.GetTasks()[0].GetJobId() != leased.GetTask().GetJobId() {
			t.Errorf("pending %v, want the leased task and a next page", p)
		}
	})
}

func TestAdminShowsADeadJob(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, _ := setupQueue(t, e)
		id := must(b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: "job-0"}))(t)
		if id.GetStatus() != argusv1.JobStatus_JOB_STATUS_FAILED || !id.GetResult().GetTerminal() {
			t.Errorf("job %v, want FAILED with a terminal result", id)
		}
		if task := id.GetTask(); task.GetPlace() != argusv1.TaskPlace_TASK_PLACE_DEAD || task.GetCause() != "rejected" || task.GetReason() != "bad image" {
			t.Errorf("task %v, want it in the dead letters with its cause and reason", task)
		}
	})
}

// purge empties the queue, after a dry run that must say the same.
func (b *bundle) purge(t *testing.T, waiting, delayed, leased int64) {
	t.Helper()
	for _, dryRun := range []bool{true, false} {
		p := must(b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{DryRun: dryRun}))(t)
		if p.GetWaiting() != waiting || p.GetDelayed() != delayed || p.GetLeased() != leased {
			t.Errorf("purge (dry run: %v) %v, want %d waiting, %d delayed, %d leased", dryRun, p, waiting, delayed, leased)
		}
	}
}

func TestPauseAndPurge(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, _ := setupQueue(t, e)
		must(b.admin.PauseQueue(b.ctx, &argusv1.PauseQueueRequest{}))(t)
		if r := must(b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: &durationpb.Duration{}}))(t); len(r.GetDeliveries()) != 0 {
			t.Errorf("a paused queue delivered %v", r)
		}
		b.purge(t, 2, 1, 1)
		must(b.admin.ResumeQueue(b.ctx, &argusv1.ResumeQueueRequest{}))(t)
		b.publish(t, "next")
		if d := b.readOne(t); d.GetTask().GetJobId() != "next" {
			t.Errorf("after purge and resume: %v, want the task of the job next", d)
		}
	})
}

func TestCancelOfARunningJob(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, leased := setupQueue(t, e)
		b.purge(t, 2, 1, 1) // which leaves leased tasks alone
		running := leased.GetTask().GetJobId()
		c := must(b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: running, Reason: "enough"}))(t)
		if c.GetWas() != argusv1.JobStatus_JOB_STATUS_RUNNING || c.GetCursor() != "" {
			t.Errorf("Cancel: %v, want RUNNING and no result yet", c)
		}
		if x := must(b.queue.ExtendLease(b.ctx, &argusv1.ExtendLeaseRequest{LeaseToken: leased.GetLeaseToken()}))(t); !x.GetCancelRequested() {
			t.Errorf("ExtendLease: %v, want cancel_requested", x)
		}
		if id := must(b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: running}))(t); !id.GetCancelRequested() {
			t.Errorf("GetJob: %v, want cancel_requested", id)
		}
	})
}
