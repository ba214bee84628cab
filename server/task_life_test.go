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

func TestMainJob(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		task := &argusv1.Task{JobId: "job", ReportId: "r", OrganizationId: "o", GcsUri: "gs://x", Scanners: []string{"trivy"}, TimeoutSeconds: 60,
			CreatedAt:  timestamppb.New(time.Unix(1767323045, 0)),
			Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff}}}
		watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		frame, err := watch.Recv()
		if err != nil || frame.GetSnapshot().GetKnown() || frame.GetCursor() != "0-0" {
			t.Fatal(frame, err)
		}
		published, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: task, RequestId: "req",
			InitialState: &argusv1.InitialState{Fields: map[string]string{"a": "1"}, Ttl: durationpb.New(time.Hour)}})
		if err != nil || published.GetJobId() != "job" {
			t.Fatal(published, err)
		}
		d := b.readOne(t)
		if diff := cmp.Diff(task, d.GetTask(), protocmp.Transform()); diff != "" || d.GetDeliveryAttempt() != 1 || d.GetMessageId() != published.GetMessageId() {
			t.Error(d, diff)
		}
		if age := time.Since(d.GetPublishTime().AsTime()); age < -time.Minute || age > time.Minute {
			t.Error("published", age, "ago")
		}
		if _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "status", Value: "running", LeaseToken: d.GetLeaseToken()}); err != nil {
			t.Error(err)
		}
		extended, err := b.queue.ExtendLease(b.ctx, &argusv1.ExtendLeaseRequest{LeaseToken: d.GetLeaseToken(), ProgressFields: map[string]string{"p": "50"}})
		if err != nil || extended.GetLeaseExpireTime().AsTime().Before(d.GetLeaseExpireTime().AsTime()) {
			t.Error(extended, err)
		}
		done, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed, Fields: map[string]string{"findings": "3"}})
		if err != nil || done.GetAlreadyCompleted() {
			t.Fatal(done, err)
		}
		state, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		if err != nil || state.GetStatus() != completed || state.GetTtl().AsDuration() > time.Hour {
			t.Error(state, err)
		}
		for name, want := range map[string]string{"a": "1", "p": "50", "findings": "3", "status": "completed"} {
			if got := state.GetFields()[name]; got != want {
				t.Errorf("state %s = %q, want %q", name, got, want)
			}
		}
		frame, err = watch.Recv()
		event := frame.GetEvent()
		if err != nil || frame.GetCursor() != done.GetCursor() || event.GetCursor() != done.GetCursor() || event.GetStatus() != completed ||
			!event.GetTerminal() || event.GetFields()["findings"] != "3" || event.GetCompletedAt() == nil || event.GetStatusText() != "completed" {
			t.Fatal(frame, err)
		}
		if _, err := watch.Recv(); err != io.EOF {
			t.Error("after the terminal event:", err)
		}

		again, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed})
		if err != nil || !again.GetAlreadyCompleted() || again.GetCursor() != done.GetCursor() {
			t.Error("repeated Complete:", again, err)
		}
		late, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		var frames []*argusv1.WatchResponse
		for {
			frame, err := late.Recv()
			if err == io.EOF {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, frame)
		}
		if len(frames) != 2 || !frames[0].GetSnapshot().GetKnown() || frames[0].GetSnapshot().GetStatus() != completed || !frames[1].GetEvent().GetTerminal() {
			t.Error("a watch after the fact:", frames)
		}
		if r, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job"}); err != nil || !r.GetDone() || r.GetEvent().GetCursor() != done.GetCursor() {
			t.Error("Await:", r, err)
		}
	})
}
