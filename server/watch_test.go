package server_test

import (
	"errors"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// watchError is how a watch that fails at once ends.
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
				t.Fatal(frame, err)
			}
			if got := frame.ProtoReflect().WhichOneof(frame.ProtoReflect().Descriptor().Oneofs().Get(0)).Name(); string(got) != want {
				t.Errorf("frame %d is a %s, want a %s", i, got, want)
			}
		}
		b.raw.Del(b.ctx, b.key("argus_completion:job"))
		err = b.watchError(&argusv1.WatchRequest{JobId: "job", AfterCursor: running.GetCursor()})
		w := wantError(t, err, codes.OutOfRange, argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED)
		if w.metadata["earliest_cursor"] != "0-0" || w.metadata["job_id"] != "job" {
			t.Error("metadata", w.metadata)
		}
	})
}

// The state of a job as a watch shows it: whole at first, then what changes, the newest
// value of each field, and all of it before the result.
func TestWatchState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		if _, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "job", Fields: map[string]string{"a": "1", "gone": "x"}}); err != nil {
			t.Fatal(err)
		}
		stream, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job", IncludeState: true})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || r.GetSnapshot().GetStatus() != argusv1.JobStatus_JOB_STATUS_PENDING {
			t.Fatal(r, err)
		}
		seen := make(map[string]string)
		until := func(want map[string]string) {
			t.Helper()
			for !maps.Equal(seen, want) {
				r, err := stream.Recv()
				if err != nil || r.GetStateChange() == nil {
					t.Fatal(r, err, "seen:", seen)
				}
				for _, name := range r.GetStateChange().GetRemoved() {
					delete(seen, name)
				}
				maps.Copy(seen, r.GetStateChange().GetFields())
			}
		}
		until(map[string]string{"a": "1", "gone": "x", "status": "pending"})
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "2"}); err != nil {
			t.Fatal(err)
		}
		until(map[string]string{"a": "2", "gone": "x", "status": "pending"})
		b.raw.HDel(b.ctx, b.key("job_state:job"), "gone")
		b.raw.HSet(b.ctx, b.key("job_state:job"), "trivy_status", "running", "argus_parts", "hidden", "argus_status", "shown")
		until(map[string]string{"a": "2", "status": "pending", "trivy_status": "running", "argus_status": "shown"})
		for i := range 50 { // newest wins
			b.raw.HSet(b.ctx, b.key("job_state:job"), "progress", i)
		}
		until(map[string]string{"a": "2", "status": "pending", "trivy_status": "running", "argus_status": "shown", "progress": "49"})
		r, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "job", Status: completed, Fields: map[string]string{"findings": "3"}})
		if err != nil {
			t.Fatal(err)
		}
		for {
			frame, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			if frame.GetEvent() != nil {
				if frame.GetCursor() != r.GetCursor() || seen["status"] != "completed" || seen["findings"] != "3" {
					t.Error("the result came before the state:", seen)
				}
				break
			}
			maps.Copy(seen, frame.GetStateChange().GetFields())
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Error(err)
		}
		// A state that no message can hold.
		big := strings.Repeat("x", 1<<20)
		b.raw.HSet(b.ctx, b.key("job_state:big"), "a", big, "b", big, "c", big, "d", big, "e", big)
		stream, err = b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "big", IncludeState: true})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			frame, err := stream.Recv()
			if err != nil || frame.GetStateChange() != nil && !frame.GetStateChange().GetTruncated() {
				t.Error(frame, err)
			}
		}
		b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:big"), Values: []any{"status", "completed"}})
		if frame, err := stream.Recv(); err != nil || !frame.GetEvent().GetTerminal() {
			t.Error(frame, err)
		}
	})
}
