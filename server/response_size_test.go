package server_test

import (
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestResponseTooLarge(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		mib := strings.Repeat("x", 1<<20)
		for _, field := range []string{"a", "b"} {
			if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: field, Value: mib}); err != nil {
				t.Fatal(err)
			}
		}
		_, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "c", Value: mib})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		if text := status.Convert(err).Message(); !strings.HasPrefix(text, "value: ") {
			t.Errorf("message %q, want it to name the field value", text)
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "c", mib, "d", mib) // a raw peer has no limit
		_, err = b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_RESPONSE_TOO_LARGE)
		if r, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job", Fields: []string{"a", "b"}}); err != nil || len(r.GetFields()) != 2 {
			t.Error(err)
		}
		b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:job"), Values: []any{"status", "completed", "x", strings.Repeat(mib, 5)}})
		r, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job"})
		if err != nil || r.GetEvent().GetStatus() != completed || r.GetEvent().GetFields()["argus_truncated"] == "" {
			t.Errorf("an event above the maximum message size: %v, %v; want it truncated", r, err)
		}
	})
}
