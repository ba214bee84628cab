package server_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

func add(jobs ...*argusv1.WatchJob) *argusv1.WatchManyRequest {
	return &argusv1.WatchManyRequest{Add: jobs}
}

func TestWatchMany(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		complete := func(i int) {
			if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: fmt.Sprint("job-", i), Status: completed}); err != nil {
				t.Error(err)
			}
		}
		const jobs = 700
		for i := range 100 { // before the watch
			complete(i)
		}
		b.raw.Set(b.ctx, b.key("argus_completion:wrong"), "x", 0)
		stream, err := b.done.WatchMany(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		var all []*argusv1.WatchJob
		for i := range jobs {
			all = append(all, &argusv1.WatchJob{JobId: fmt.Sprint("job-", i)})
		}
		all = append(all, &argusv1.WatchJob{JobId: "gone", AfterCursor: "5-5"}, &argusv1.WatchJob{JobId: "wrong"}, &argusv1.WatchJob{JobId: "removed"})
		if err := stream.Send(add(all...)); err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := 100; i < jobs; i++ {
				complete(i)
			}
		}()
		frames, done, failures := make(map[string]int), 0, make(map[string]*argusv1.WatchFailure)
		for done < jobs+2 {
			r, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			frames[r.GetJobId()]++
			if snapshot := r.GetSnapshot() != nil; snapshot != (frames[r.GetJobId()] == 1) && r.GetFailure() == nil {
				t.Fatal("frame", frames[r.GetJobId()], "of a job:", r)
			}
			if r.GetFailure() != nil {
				failures[r.GetJobId()] = r.GetFailure()
			}
			if r.GetDone() {
				done++
			}
		}
		if f := failures["gone"]; f.GetReason() != argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED || f.GetEarliestCursor() != "0-0" {
			t.Error(f)
		}
		if f := failures["wrong"]; f.GetReason() != argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT || strings.Contains(f.GetMessage(), "WRONGTYPE") {
			t.Error(f)
		}
		// A job can be watched again from its cursor, and one can be removed; the rest is silence.
		if err := stream.Send(&argusv1.WatchManyRequest{Remove: []string{"removed", "unknown"}, HeartbeatInterval: durationpb.New(20 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		if r, err := stream.Recv(); err != nil || r.GetHeartbeat() == nil {
			t.Error(r, err)
		}
		if err := stream.Send(add(&argusv1.WatchJob{JobId: "job-0"})); err != nil {
			t.Fatal(err)
		}
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		var last []string
		for {
			r, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if r.GetHeartbeat() == nil {
				last = append(last, fmt.Sprint(r.GetJobId(), r.GetSnapshot() != nil, r.GetDone()))
			}
		}
		if diff := cmp.Diff([]string{"job-0true false", "job-0false true"}, last); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWatchManyErrors(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	for field, r := range map[string]*argusv1.WatchManyRequest{
		"add[1].job_id":       add(&argusv1.WatchJob{JobId: "a"}, &argusv1.WatchJob{JobId: "{"}),
		"add[0].after_cursor": add(&argusv1.WatchJob{JobId: "a", AfterCursor: "x"}),
		"add":                 {Add: make([]*argusv1.WatchJob, 10_001)},
		"heartbeat_interval":  {HeartbeatInterval: durationpb.New(1)},
	} {
		stream, err := b.done.WatchMany(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		for err == nil {
			_, err = stream.Recv()
		}
		if w := expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT); len(w.fields) != 1 || w.fields[0] != field {
			t.Errorf("fields %q, want %q", w.fields, field)
		}
	}
	stream, err := b.done.WatchMany(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(add(&argusv1.WatchJob{JobId: "a"})); err != nil {
		t.Fatal(err)
	}
	if r, err := stream.Recv(); err != nil || r.GetSnapshot() == nil {
		t.Fatal(r, err)
	}
	b.shutdown()
	_, err = stream.Recv()
	expect(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN)
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

// The streams of all clients together watch so many jobs and no more; jobs that are watched no
// longer make room.
func TestMaxWatchedJobs(t *testing.T) {
	t.Parallel()
	b := setupServer(t, redistest.Embedded(t), redis.BrokerConfig{}, func(c *server.Config) { c.MaxWatchedJobs = 3 })
	one, err := b.done.WatchMany(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	watches := func(r *argusv1.WatchManyRequest, snapshots int) {
		t.Helper()
		if err := one.Send(r); err != nil {
			t.Fatal(err)
		}
		for range snapshots {
			if r, err := one.Recv(); err != nil || r.GetSnapshot() == nil {
				t.Fatal(r, err)
			}
		}
	}
	jobs := []*argusv1.WatchJob{{JobId: "a"}, {JobId: "b"}, {JobId: "c"}}
	watches(add(jobs...), 3)
	refused := func() {
		t.Helper()
		err := b.watchError(&argusv1.WatchRequest{JobId: "d"})
		if told := expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !told.retryable {
			t.Error("not retryable")
		}
		many, err := b.done.WatchMany(b.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if err := many.Send(add(jobs[0])); err != nil {
			t.Fatal(err)
		}
		_, err = many.Recv()
		expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY)
	}
	refused()
	watches(&argusv1.WatchManyRequest{Remove: []string{"a", "b"}, Add: jobs[1:2]}, 1)
	watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "d"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := watch.Recv(); err != nil || r.GetSnapshot() == nil {
		t.Fatal(r, err)
	}
	refused()
	if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: "d", Status: completed}); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = watch.Recv()
	}
	watches(add(jobs[0]), 1)
}
