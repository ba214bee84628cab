package server_test

import (
	"errors"
	"io"
	"maps"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// stateWatch is a watch of a job's state. It keeps the fields that the watch has shown.
type stateWatch struct {
	argusv1.Completion_WatchClient
	t    *testing.T
	seen map[string]string
}

// watchState opens a watch and receives its snapshot.
func (b *bundle) watchState(t *testing.T, job string, want argusv1.JobStatus) *stateWatch {
	t.Helper()
	w := &stateWatch{must(b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: job, IncludeState: true}))(t), t, make(map[string]string)}
	if r := must(w.Recv())(t); r.GetSnapshot() == nil || r.GetSnapshot().GetStatus() != want {
		t.Fatalf("first frame %v, want a snapshot with %v", r, want)
	}
	return w
}

func (w *stateWatch) apply(change *argusv1.StateChange) {
	for _, name := range change.GetRemoved() {
		delete(w.seen, name)
	}
	maps.Copy(w.seen, change.GetFields())
}

// until receives changes until the fields are as they should be.
func (w *stateWatch) until(want map[string]string) {
	w.t.Helper()
	for !maps.Equal(w.seen, want) {
		r, err := w.Recv()
		if err != nil || r.GetStateChange() == nil {
			w.t.Fatalf("received %v, %v after the state %v; want %v", r, err, w.seen, want)
		}
		w.apply(r.GetStateChange())
	}
}

// A watch shows the whole state first, and then its changes; of several values of a field it may
// show the newest only.
func TestWatchShowsChangesOfTheState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.initState(t, argusv1.OnConflict_ON_CONFLICT_FAIL, map[string]string{"a": "1", "gone": "x"})
		w := b.watchState(t, "job", argusv1.JobStatus_JOB_STATUS_PENDING)
		w.until(map[string]string{"a": "1", "gone": "x", "status": "pending"})
		must(b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "2"}))(t)
		w.until(map[string]string{"a": "2", "gone": "x", "status": "pending"})
		b.raw.HDel(b.ctx, b.key("job_state:job"), "gone")
		b.raw.HSet(b.ctx, b.key("job_state:job"), "trivy_status", "running", "argus_parts", "hidden", "argus_status", "shown")
		w.until(map[string]string{"a": "2", "status": "pending", "trivy_status": "running", "argus_status": "shown"})
		for i := range 50 {
			b.raw.HSet(b.ctx, b.key("job_state:job"), "progress", i)
		}
		w.until(map[string]string{"a": "2", "status": "pending", "trivy_status": "running", "argus_status": "shown", "progress": "49"})
	})
}

// The whole state of a finished job comes before its result.
func TestWatchShowsTheStateBeforeTheResult(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.initState(t, argusv1.OnConflict_ON_CONFLICT_FAIL, nil)
		w := b.watchState(t, "job", argusv1.JobStatus_JOB_STATUS_PENDING)
		w.until(map[string]string{"status": "pending"})
		r := must(b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "job", Status: completed, Fields: map[string]string{"findings": "3"}}))(t)
		frame := must(w.Recv())(t)
		for ; frame.GetEvent() == nil; frame = must(w.Recv())(t) {
			w.apply(frame.GetStateChange())
		}
		if frame.GetCursor() != r.GetCursor() || w.seen["status"] != "completed" || w.seen["findings"] != "3" {
			t.Errorf("at the result %v the state is %v, want it completed with its findings, at %s", frame, w.seen, r.GetCursor())
		}
		if _, err := w.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("after the result: %v, want EOF", err)
		}
	})
}

// A state above the maximum message size is truncated, and the result follows.
func TestWatchTruncatesALargeState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		big := strings.Repeat("x", 1<<20)
		b.raw.HSet(b.ctx, b.key("job_state:big"), "a", big, "b", big, "c", big, "d", big, "e", big)
		w := b.watchState(t, "big", argusv1.JobStatus_JOB_STATUS_UNSPECIFIED)
		if frame := must(w.Recv())(t); frame.GetStateChange() != nil && !frame.GetStateChange().GetTruncated() {
			t.Errorf("second frame %v, want a truncated state", frame)
		}
		b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:big"), Values: []any{"status", "completed"}})
		if frame := must(w.Recv())(t); !frame.GetEvent().GetTerminal() {
			t.Errorf("third frame %v, want the terminal event", frame)
		}
	})
}
