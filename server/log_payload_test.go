package server_test

import (
	"strings"
	"testing"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestLogsHoldNoPayload(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "job", GcsUri: "gs://secret", Attributes: map[string]string{"k": "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	d := b.readOne(t)
	_, err = b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed, Fields: map[string]string{"k": "secret"}, ErrorMessage: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	b.publish(t, "rejected")
	if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true, Reason: "secret"}); err != nil {
		t.Fatal(err)
	}
	b.shutdown()
	text := b.logs.String()
	if strings.Contains(text, "secret") {
		t.Error("a payload was logged:", text)
	}
	for _, want := range []string{`"method":"/argus.v1.TaskQueue/Complete"`, `"job_id":"job"`, `"message_id":"` + d.GetMessageId() + `"`, `"consumer":"w"`, `"code":"OK"`, `"duration_ms":`,
		`"msg":"a task went to the dead letters"`, `"cause":"rejected"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}
