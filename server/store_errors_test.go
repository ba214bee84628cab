package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Own(t).Engine())
	b.publish(t, "job")
	d := b.readOne(t)
	if err := b.raw.ConfigSet(b.ctx, "maxmemory", "1").Err(); err != nil {
		t.Fatal(err)
	}
	keys := b.raw.DBSize(b.ctx).Val()
	_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, RequestId: "r", InitialState: &argusv1.InitialState{}})
	if w := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_REDIS_OUT_OF_MEMORY); !w.retryable {
		t.Error("the error is not retryable")
	}
	_, err = b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "b"})
	wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_REDIS_OUT_OF_MEMORY)
	if n := b.raw.DBSize(b.ctx).Val(); n != keys {
		t.Errorf("%d keys after refused writes, want %d", n, keys)
	}
	// A full Redis drains: results can be written.
	if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed}); err != nil {
		t.Error(err)
	}
}

func TestKeysOfAnotherType(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.raw.Set(b.ctx, b.key("job_state:job"), "text", 0)
		b.raw.Set(b.ctx, b.key("argus_completion:job"), "text", 0)
		_, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
		_, err = b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a"})
		wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
		err = b.watchError(&argusv1.WatchRequest{JobId: "job"})
		wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT)
	})
}

// Only the operator can grant a permission that Redis's ACL denies: the error is not retryable.
func TestPermissionMissing(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Own(t).Engine())
	b.publish(t, "job")
	if err := b.raw.Do(b.ctx, "ACL", "SETUSER", "default", "-hset", "-xadd").Err(); err != nil {
		t.Fatal(err)
	}
	_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}})
	if w := wantError(t, err, codes.Internal, argusv1.ErrorReason_ERROR_REASON_REDIS_PERMISSION_MISSING); w.retryable {
		t.Error("a command without permission is retryable")
	}
	_, err = b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "b"})
	if w := wantError(t, err, codes.Internal, argusv1.ErrorReason_ERROR_REASON_REDIS_PERMISSION_MISSING); w.retryable {
		t.Error("a script without permission is retryable")
	}
	b.awaitLog(t, "ACL of redis")
}
