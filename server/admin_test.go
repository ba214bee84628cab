package server_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
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

func TestAdminErrors(t *testing.T) {
	t.Parallel()
	b := setupWith(t, redistest.Embedded(t), redis.BrokerConfig{Queues: map[string]redis.QueueConfig{"small": {MaxLength: 1, UniqueJobs: true}}})
	publish := func(job string) error {
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: "small", Task: &argusv1.Task{JobId: job}})
		return err
	}
	if err := publish("a"); err != nil {
		t.Fatal(err)
	}
	expect(t, publish("a"), codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ACTIVE)
	if w := expect(t, publish("b"), codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_QUEUE_FULL); !w.retryable || w.metadata["queue"] != "small" {
		t.Error(w)
	}
	small, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Queue: "small", Consumer: "w"})
	if err != nil || len(small.GetDeliveries()) != 1 {
		t.Fatal(small, err)
	}
	_, err = b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "none"})
	expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
	_, err = b.admin.GetJob(b.ctx, &argusv1.GetJobRequest{JobId: "none"})
	expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
	for name, call := range map[string]func() error{
		"get": func() error { _, err := b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{Queue: "none"}); return err },
		"purge": func() error {
			_, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{Queue: "none"})
			return err
		},
		"count": func() error {
			_, err := b.admin.PurgeQueue(b.ctx, &argusv1.PurgeQueueRequest{Queue: "none", DryRun: true})
			return err
		},
		"consumers": func() error {
			_, err := b.admin.ListConsumers(b.ctx, &argusv1.ListConsumersRequest{Queue: "none"})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			expect(t, call(), codes.NotFound, argusv1.ErrorReason_ERROR_REASON_QUEUE_NOT_FOUND)
		})
	}
	for field, call := range map[string]func() error{
		"job_id": func() error { _, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "{"}); return err },
		"reason": func() error {
			_, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "j", Reason: strings.Repeat("x", 5000)})
			return err
		},
		"page_size": func() error {
			_, err := b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageSize: 1001})
			return err
		},
		"page_token": func() error {
			_, err := b.admin.ListPending(b.ctx, &argusv1.ListPendingRequest{PageToken: "x"})
			return err
		},
		"ids": func() error {
			_, err := b.admin.RedriveDeadLetters(b.ctx, &argusv1.RedriveDeadLettersRequest{})
			return err
		},
		"ids ": func() error {
			_, err := b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{All: true, Ids: []string{"1-1"}})
			return err
		},
		"ids  ": func() error {
			_, err := b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{Ids: []string{"x"}})
			return err
		},
		"queue": func() error { _, err := b.admin.PauseQueue(b.ctx, &argusv1.PauseQueueRequest{Queue: "*"}); return err },
		"queue ": func() error {
			_, err := b.admin.ResumeQueue(b.ctx, &argusv1.ResumeQueueRequest{Queue: "*"})
			return err
		},
		"part": func() error {
			if _, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "p", Parts: []string{"a"}}); err != nil {
				t.Error(err)
			}
			_, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "p", Status: completed, Part: "x"})
			return err
		},
		"parts[0]": func() error {
			_, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "j", Parts: []string{""}})
			return err
		},
		"initial_state.parts[1]": func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, InitialState: &argusv1.InitialState{Parts: []string{"a", "a"}}})
			return err
		},
		"task.part": func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{Part: "a b"}})
			return err
		},
		"release": func() error {
			_, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: small.GetDeliveries()[0].GetLeaseToken(), Release: true, Delay: &durationpb.Duration{}})
			return err
		},
	} {
		t.Run(field, func(t *testing.T) {
			w := expect(t, call(), codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
			if field := strings.TrimSpace(field); len(w.fields) != 1 || w.fields[0] != field {
				t.Errorf("fields %q, want %q", w.fields, field)
			}
		})
	}
}

// A page of dead letters ends when it is as large as a message can be.
func TestLargeDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	big := strings.Repeat("x", 1<<20)
	for range 4 {
		if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{Attributes: map[string]string{"a": big, "b": big}}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
	}
	b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_task_queue"), Values: []any{"huge", strings.Repeat(big, 5)}})
	if r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: &durationpb.Duration{}}); err != nil || len(r.GetDeliveries()) != 0 {
		t.Fatal(err)
	}
	n, pages := 0, 0
	for request := (&argusv1.ListDeadLettersRequest{}); ; pages++ {
		page, err := b.admin.ListDeadLetters(b.ctx, request)
		if err != nil {
			t.Fatal(err)
		}
		n += len(page.GetDeadLetters())
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			if last := page.GetDeadLetters()[len(page.GetDeadLetters())-1]; last.GetFields()["argus_truncated"] == "" {
				t.Error("the entry that no message can hold:", last)
			}
			break
		}
	}
	if n != 5 || pages == 0 {
		t.Error(n, "dead letters on", pages+1, "pages")
	}
}

// A consumer group is created and deleted by name, never by reading with it.
func TestGroups(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "job")
		read := &argusv1.ReadRequest{Group: "archive", Consumer: "w"}
		_, err := b.queue.Read(b.ctx, read)
		w := expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)
		if w.metadata["group"] != "archive" || w.metadata["queue"] != "argus_task_queue" || !strings.Contains(err.Error(), "argus group create") {
			t.Error(err, w.metadata)
		}
		stream, err := b.queue.Consume(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Start{Start: &argusv1.ConsumeStart{Group: "archive", Consumer: "w", MaxOutstanding: 1}}}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)

		if r, err := b.admin.CreateGroup(b.ctx, &argusv1.CreateGroupRequest{Group: "archive"}); err != nil || !r.GetCreated() {
			t.Error(r, err)
		}
		if r, err := b.queue.Read(b.ctx, read); err != nil || len(r.GetDeliveries()) != 1 {
			t.Error(r, err)
		}
		q, err := b.admin.GetQueue(b.ctx, &argusv1.GetQueueRequest{})
		if err != nil || len(q.GetQueue().GetGroups()) != 2 {
			t.Fatal(q, err)
		}
		for _, g := range q.GetQueue().GetGroups() {
			if (g.GetIdle() != nil) != (g.GetName() == "archive") || g.GetUnread() {
				t.Error(g)
			}
		}
		_, err = b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive"})
		expect(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_GROUP_IN_USE)
		if _, err := b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive", Force: true}); err != nil {
			t.Error(err)
		}
		_, err = b.admin.DeleteGroup(b.ctx, &argusv1.DeleteGroupRequest{Group: "archive"})
		expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND)
		_, err = b.admin.CreateGroup(b.ctx, &argusv1.CreateGroupRequest{Group: ""})
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}

// Queues come in pages, and a new one beyond the bound is refused.
func TestQueuePages(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, redis.BrokerConfig{MaxQueues: 4})
		for i := range 4 {
			if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: fmt.Sprint("q", i), Task: &argusv1.Task{}}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Queue: "q4", Task: &argusv1.Task{}})
		expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_QUEUES)
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
			t.Error(got)
		}
		_, err = b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{PageSize: 1001})
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		_, err = b.admin.ListQueues(b.ctx, &argusv1.ListQueuesRequest{PageToken: "{"})
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
