package server_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// deadLetterIDs lists the dead letters of the queue, page by page.
func (b *bundle) deadLetterIDs(t *testing.T) (ids []string) {
	t.Helper()
	for request := (&argusv1.ListDeadLettersRequest{PageSize: 2}); ; {
		page := must(b.admin.ListDeadLetters(b.ctx, request))(t)
		for _, d := range page.GetDeadLetters() {
			ids = append(ids, d.GetId())
			if d.GetTask().GetJobId() == "" || d.GetDeathTime() == nil || d.GetSourceMessageId() == "" || d.GetInfo().GetAttempts() != 1 {
				t.Errorf("dead letter %v, want its task, death time, source and one attempt", d)
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return ids
		}
	}
}

// A redriven task waits again until it is purged; then its job can be cancelled.
func TestRedriveAndDeleteDeadLetters(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, _ := setupQueue(t, e)
		ids := b.deadLetterIDs(t)
		if len(ids) != 3 {
			t.Fatalf("dead letters %q, want 3", ids)
		}
		if r := must(b.admin.RedriveDeadLetters(b.ctx, &argusv1.RedriveDeadLettersRequest{Ids: ids[:1]}))(t); r.GetRedriven() != 1 {
			t.Errorf("%d redriven, want 1", r.GetRedriven())
		}
		if r := must(b.admin.DeleteDeadLetters(b.ctx, &argusv1.DeleteDeadLettersRequest{All: true}))(t); r.GetDeleted() != 2 {
			t.Errorf("%d deleted, want 2", r.GetDeleted())
		}
		b.purge(t, 3, 1, 1)
		c := must(b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "job-0"}))(t)
		if c.GetWas() != argusv1.JobStatus_JOB_STATUS_CANCELLED || c.GetCursor() == "" {
			t.Errorf("Cancel of a purged job: %v, want CANCELLED and its result's cursor", c)
		}
	})
}

// A page of dead letters ends before it exceeds the maximum message size.
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
				t.Errorf("an entry above the maximum message size: %v, want its fields truncated", last)
			}
			break
		}
	}
	if n != 5 || pages == 0 {
		t.Errorf("%d dead letters on %d pages, want 5 on several", n, pages+1)
	}
}
