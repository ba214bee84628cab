package server_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

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
