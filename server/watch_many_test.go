package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
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
		if w := wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT); len(w.fields) != 1 || w.fields[0] != field {
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
	wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN)
}
