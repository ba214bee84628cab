package server_test

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// startJob publishes a job with a state and leases its task.
func (b *bundle) startJob(t *testing.T, task *argusv1.Task) (*argusv1.PublishResponse, *argusv1.Delivery) {
	t.Helper()
	published := must(b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: task, RequestId: "req",
		InitialState: &argusv1.InitialState{Fields: map[string]string{"a": "1"}, Ttl: durationpb.New(time.Hour)}}))(t)
	return published, b.readOne(t)
}

func (b *bundle) complete(t *testing.T, token string, fields map[string]string) *argusv1.CompleteResponse {
	t.Helper()
	return must(b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed, Fields: fields}))(t)
}

func TestWorkerGetsTheTaskAsPublished(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		task := &argusv1.Task{JobId: "job", ReportId: "r", OrganizationId: "o", GcsUri: "gs://x", Scanners: []string{"trivy"}, TimeoutSeconds: 60,
			CreatedAt:  timestamppb.New(time.Unix(1767323045, 0)),
			Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff}}}
		published, d := b.startJob(t, task)
		if published.GetJobId() != "job" {
			t.Errorf("Publish returned the job %q, want %q", published.GetJobId(), "job")
		}
		if diff := cmp.Diff(task, d.GetTask(), protocmp.Transform()); diff != "" {
			t.Error("the task differs from the published one:", diff)
		}
		if d.GetDeliveryAttempt() != 1 || d.GetMessageId() != published.GetMessageId() {
			t.Errorf("delivery %v, want attempt 1 of message %s", d, published.GetMessageId())
		}
		if age := time.Since(d.GetPublishTime().AsTime()); age < -time.Minute || age > time.Minute {
			t.Errorf("the publish time is %s ago, want now", age)
		}
	})
}

// What the worker writes until it completes the job is in the job's state.
func TestWorkerWritesTheState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		_, d := b.startJob(t, &argusv1.Task{JobId: "job"})
		token := d.GetLeaseToken()
		must(b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "status", Value: "running", LeaseToken: token}))(t)
		extended := must(b.queue.ExtendLease(b.ctx, &argusv1.ExtendLeaseRequest{LeaseToken: token, ProgressFields: map[string]string{"p": "50"}}))(t)
		if extended.GetLeaseExpireTime().AsTime().Before(d.GetLeaseExpireTime().AsTime()) {
			t.Errorf("the extended lease ends at %v, before %v", extended.GetLeaseExpireTime(), d.GetLeaseExpireTime())
		}
		if b.complete(t, token, map[string]string{"findings": "3"}).GetAlreadyCompleted() {
			t.Error("the first Complete says that the job was already completed")
		}
		state := must(b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"}))(t)
		if state.GetStatus() != completed || state.GetTtl().AsDuration() > time.Hour {
			t.Errorf("state %v, want COMPLETED and a ttl of at most 1h", state)
		}
		for name, want := range map[string]string{"a": "1", "p": "50", "findings": "3", "status": "completed"} {
			if got := state.GetFields()[name]; got != want {
				t.Errorf("state %s = %q, want %q", name, got, want)
			}
		}
	})
}

// A watch that was there before the job gets its result and ends.
func TestWatchGetsTheResult(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		watch := must(b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"}))(t)
		if frame := must(watch.Recv())(t); frame.GetSnapshot() == nil || frame.GetSnapshot().GetKnown() || frame.GetCursor() != "0-0" {
			t.Fatalf("first frame %v, want the snapshot of an unknown job at 0-0", frame)
		}
		_, d := b.startJob(t, &argusv1.Task{JobId: "job"})
		cursor := b.complete(t, d.GetLeaseToken(), map[string]string{"findings": "3"}).GetCursor()
		frame := must(watch.Recv())(t)
		event := frame.GetEvent()
		if frame.GetCursor() != cursor || event.GetCursor() != cursor || event.GetStatus() != completed ||
			!event.GetTerminal() || event.GetFields()["findings"] != "3" || event.GetCompletedAt() == nil || event.GetStatusText() != "completed" {
			t.Errorf("second frame %v, want the terminal event at %s", frame, cursor)
		}
		if _, err := watch.Recv(); err != io.EOF {
			t.Errorf("after the terminal event: %v, want EOF", err)
		}
	})
}

// The result stays: for a worker that repeats its Complete, a late Watch, and Await.
func TestResultStays(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		_, d := b.startJob(t, &argusv1.Task{JobId: "job"})
		cursor := b.complete(t, d.GetLeaseToken(), nil).GetCursor()
		if again := b.complete(t, d.GetLeaseToken(), nil); !again.GetAlreadyCompleted() || again.GetCursor() != cursor {
			t.Errorf("repeated Complete: %v, want already_completed and cursor %s", again, cursor)
		}
		late := must(b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"}))(t)
		if snapshot := must(late.Recv())(t).GetSnapshot(); !snapshot.GetKnown() || snapshot.GetStatus() != completed {
			t.Errorf("snapshot of a late watch: %v, want COMPLETED", snapshot)
		}
		if frame := must(late.Recv())(t); !frame.GetEvent().GetTerminal() {
			t.Errorf("second frame of a late watch: %v, want the terminal event", frame)
		}
		if frame, err := late.Recv(); err != io.EOF {
			t.Errorf("third frame of a late watch: %v, %v; want EOF", frame, err)
		}
		if r := must(b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job"}))(t); !r.GetDone() || r.GetEvent().GetCursor() != cursor {
			t.Errorf("Await: %v, want the event at %s", r, cursor)
		}
	})
}
