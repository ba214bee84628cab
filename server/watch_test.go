package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// watchError returns the error with which a watch ends before its first frame.
func (b *bundle) watchError(r *argusv1.WatchRequest) error {
	watch, err := b.done.Watch(b.ctx, r)
	if err != nil {
		return err
	}
	_, err = watch.Recv()
	return err
}

func TestWatchHeartbeatAndResume(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		running, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "job", Status: 2, Fields: map[string]string{"n": "1"}})
		if err != nil {
			t.Fatal(err)
		}
		watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job", AfterCursor: running.GetCursor(), HeartbeatInterval: durationpb.New(20 * time.Millisecond)})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{"snapshot", "heartbeat", "heartbeat"} {
			frame, err := watch.Recv()
			if err != nil || frame.GetCursor() != running.GetCursor() {
				t.Fatalf("frame %d: %v, %v; want the cursor %s", i, frame, err, running.GetCursor())
			}
			if got := frame.ProtoReflect().WhichOneof(frame.ProtoReflect().Descriptor().Oneofs().Get(0)).Name(); string(got) != want {
				t.Errorf("frame %d is a %s, want a %s", i, got, want)
			}
		}
		b.raw.Del(b.ctx, b.key("argus_completion:job"))
		err = b.watchError(&argusv1.WatchRequest{JobId: "job", AfterCursor: running.GetCursor()})
		w := wantError(t, err, codes.OutOfRange, argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED)
		if w.metadata["earliest_cursor"] != "0-0" || w.metadata["job_id"] != "job" {
			t.Errorf("metadata %v, want the job_id and the earliest cursor", w.metadata)
		}
	})
}
