package server_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// watchManyStream is the client's end of a WatchMany stream.
type watchManyStream struct {
	argusv1.Completion_WatchManyClient
	t *testing.T
}

func (b *bundle) watchMany(t *testing.T, jobs ...*argusv1.WatchJob) *watchManyStream {
	t.Helper()
	s := &watchManyStream{must(b.done.WatchMany(b.ctx))(t), t}
	s.send(add(jobs...))
	return s
}

func add(jobs ...*argusv1.WatchJob) *argusv1.WatchManyRequest {
	return &argusv1.WatchManyRequest{Add: jobs}
}

func (s *watchManyStream) send(r *argusv1.WatchManyRequest) {
	s.t.Helper()
	if err := s.Send(r); err != nil {
		s.t.Fatal(err)
	}
}

// until receives frames until n jobs are done. The first frame of each job must be its snapshot,
// or a failure.
func (s *watchManyStream) until(n int) (failures map[string]*argusv1.WatchFailure) {
	s.t.Helper()
	frames, failures := make(map[string]int), make(map[string]*argusv1.WatchFailure)
	for n > 0 {
		r := must(s.Recv())(s.t)
		job := r.GetJobId()
		frames[job]++
		if r.GetFailure() != nil {
			failures[job] = r.GetFailure()
		} else if isFirst := frames[job] == 1; isFirst != (r.GetSnapshot() != nil) {
			s.t.Fatalf("frame %d of job %s: %v, want the snapshot first and only once", frames[job], job, r)
		}
		if r.GetDone() {
			n--
		}
	}
	return failures
}

// completeJobs reports results for the jobs job-<from> to job-<to-1>.
func (b *bundle) completeJobs(t *testing.T, from, to int) {
	for i := from; i < to; i++ {
		if _, err := b.done.Publish(b.ctx, &argusv1.CompletionPublishRequest{JobId: fmt.Sprint("job-", i), Status: completed}); err != nil {
			t.Error(err)
		}
	}
}

// One stream gets the results of many jobs, those before the watch and those after it, and the
// failures of single jobs.
func TestWatchMany(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		const jobs, before = 700, 100
		b.completeJobs(t, 0, before)
		b.raw.Set(b.ctx, b.key("argus_completion:wrong"), "x", 0)
		all := []*argusv1.WatchJob{{JobId: "gone", AfterCursor: "5-5"}, {JobId: "wrong"}, {JobId: "unfinished"}}
		for i := range jobs {
			all = append(all, &argusv1.WatchJob{JobId: fmt.Sprint("job-", i)})
		}
		stream := b.watchMany(t, all...)
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.completeJobs(t, before, jobs)
		}()
		failures := stream.until(jobs + 2)
		<-done
		if f := failures["gone"]; f.GetReason() != argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED || f.GetEarliestCursor() != "0-0" {
			t.Errorf("an expired cursor: %v, want CURSOR_EXPIRED and the earliest cursor 0-0", f)
		}
		if f := failures["wrong"]; f.GetReason() != argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT || strings.Contains(f.GetMessage(), "WRONGTYPE") {
			t.Errorf("a key of another type: %v, want KEY_TYPE_CONFLICT without the text of Redis", f)
		}
		if len(failures) != 2 {
			t.Errorf("failures %v, want 2", failures)
		}
	})
}

// A job can be removed, and watched again from its cursor. After the half-close the stream ends
// when every watched job is done.
func TestWatchManyRemoveAndWatchAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.completeJobs(t, 0, 1)
		stream := b.watchMany(t, &argusv1.WatchJob{JobId: "job-0"}, &argusv1.WatchJob{JobId: "removed"})
		stream.until(1)
		stream.send(&argusv1.WatchManyRequest{Remove: []string{"removed", "unknown"}, HeartbeatInterval: durationpb.New(20 * time.Millisecond)})
		for r := must(stream.Recv())(t); r.GetHeartbeat() == nil; r = must(stream.Recv())(t) {
			if r.GetJobId() != "removed" || r.GetSnapshot() == nil { // of the time before the removal
				t.Fatalf("received %v, want nothing but heartbeats", r)
			}
		}
		stream.send(add(&argusv1.WatchJob{JobId: "job-0"}))
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
				last = append(last, fmt.Sprintf("%s snapshot=%v done=%v", r.GetJobId(), r.GetSnapshot() != nil, r.GetDone()))
			}
		}
		if diff := cmp.Diff([]string{"job-0 snapshot=true done=false", "job-0 snapshot=false done=true"}, last); diff != "" {
			t.Error("the second watch of the job:", diff)
		}
	})
}
