package server_test

import (
	"context"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

const completed = argusv1.JobStatus_JOB_STATUS_COMPLETED

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

func TestJobState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		init := func(conflict argusv1.OnConflict, fields map[string]string) (*argusv1.InitResponse, error) {
			return b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "job", Fields: fields, OnConflict: conflict})
		}
		if r, err := init(0, map[string]string{"a": "1"}); err != nil || !r.GetCreated() {
			t.Fatal(r, err)
		}
		_, err := init(argusv1.OnConflict_ON_CONFLICT_FAIL, nil)
		w := expect(t, err, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS)
		if w.metadata["job_id"] != "job" {
			t.Error("metadata", w.metadata)
		}
		if r, err := init(argusv1.OnConflict_ON_CONFLICT_KEEP, map[string]string{"a": "2"}); err != nil || r.GetCreated() {
			t.Error(r, err)
		}
		want := map[string]string{"a": "1", "status": "pending"}
		if diff := cmp.Diff(want, b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val()); diff != "" {
			t.Error(diff)
		}
		if r, err := init(argusv1.OnConflict_ON_CONFLICT_REPLACE, map[string]string{"b": "2"}); err != nil || r.GetCreated() {
			t.Error(r, err)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 {
			t.Error("a replaced state lives", ttl)
		}
		big := `{"n": 9007199254740993 , "s":"<ü>"}`
		if _, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "j", Input: &argusv1.SetJSONRequest_Json{Json: big}}); err != nil {
			t.Error(err)
		}
		value, _ := structpb.NewValue(map[string]any{"x": []any{1.0, "a", nil}})
		if _, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "v", Input: &argusv1.SetJSONRequest_Value{Value: value}}); err != nil {
			t.Error(err)
		}
		if _, err := b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"c": "", "status": "odd word"}}); err != nil {
			t.Error(err)
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "bin", "\xff")
		all, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		want = map[string]string{"b": "2", "j": big, "v": `{"x":[1,"a",null]}`, "c": "", "status": "odd word"}
		if diff := cmp.Diff(want, all.GetFields()); diff != "" || string(all.GetBinaryFields()["bin"]) != "\xff" ||
			all.GetStatus() != 0 || all.GetStatusText() != "odd word" || all.GetTtl() == nil {
			t.Error(all, diff)
		}
		some, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job", Fields: []string{"b", "none"}})
		if diff := cmp.Diff(map[string]string{"b": "2"}, some.GetFields()); err != nil || diff != "" || some.GetStatusText() != "odd word" {
			t.Error(some, err, diff)
		}
		if r, err := b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "j"}); err != nil || r.GetValue() != big {
			t.Error(r, err)
		}
		if r, err := b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "bin"}); err != nil || string(r.GetBinaryValue()) != "\xff" {
			t.Error(r, err)
		}
		_, err = b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "none"})
		expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_FIELD_NOT_FOUND)
		if r, err := b.state.Delete(b.ctx, &argusv1.DeleteRequest{JobId: "job"}); err != nil || !r.GetDeleted() {
			t.Error(r, err)
		}
		if r, err := b.state.Delete(b.ctx, &argusv1.DeleteRequest{JobId: "job"}); err != nil || r.GetDeleted() {
			t.Error("again:", r, err)
		}
		_, err = b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
		_, err = b.state.GetField(b.ctx, &argusv1.GetFieldRequest{JobId: "job", Field: "x"})
		expect(t, err, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND)
	})
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		want := make(map[string]bool)
		for i := range 120 {
			job := strings.Repeat("j", i+1)
			want[job] = true
			if _, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: job, Fields: map[string]string{"status": "running"}}); err != nil {
				t.Fatal(err)
			}
		}
		b.raw.Set(b.ctx, b.key("job_state:text"), "not a hash", 0)
		token := ""
		for {
			page, err := b.state.List(b.ctx, &argusv1.ListRequest{PageSize: 10, PageToken: token})
			if err != nil {
				t.Fatal(err)
			}
			for _, job := range page.GetJobs() {
				if job.GetStatus() != argusv1.JobStatus_JOB_STATUS_RUNNING {
					t.Error(job)
				}
				delete(want, job.GetJobId())
			}
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		if len(want) != 0 {
			t.Error("not listed:", want)
		}
	})
}

func TestNackAndAck(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		r, err := b.queue.PublishBatch(b.ctx, &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "a"}, {}}})
		if err != nil || len(r.GetMessageIds()) != 2 || r.GetJobIds()[0] != "a" || r.GetJobIds()[1] == "" {
			t.Fatal(r, err)
		}
		first := b.readOne(t)
		if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: first.GetLeaseToken(), Delay: durationpb.New(time.Millisecond), Reason: "later"}); err != nil {
			t.Error(err)
		}
		second, third := b.readOne(t), b.readOne(t)
		if third.GetTask().GetJobId() != "a" || third.GetDeliveryAttempt() != 2 {
			t.Error(third)
		}
		if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: third.GetLeaseToken(), DeadLetter: true}); err != nil {
			t.Error(err)
		}
		acks, err := b.queue.Ack(b.ctx, &argusv1.AckRequest{LeaseTokens: []string{second.GetLeaseToken(), second.GetLeaseToken(), "x"}})
		var outcomes []argusv1.AckOutcome
		for _, result := range acks.GetResults() {
			outcomes = append(outcomes, result.GetOutcome())
		}
		want := []argusv1.AckOutcome{argusv1.AckOutcome_ACK_OUTCOME_ACKED, argusv1.AckOutcome_ACK_OUTCOME_NOT_PENDING, argusv1.AckOutcome_ACK_OUTCOME_INVALID}
		if diff := cmp.Diff(want, outcomes); err != nil || diff != "" || acks.GetResults()[0].GetMessageId() != second.GetMessageId() {
			t.Error(acks, err, diff)
		}
		_, err = b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: third.GetLeaseToken()})
		w := expect(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST)
		if w.metadata["job_id"] != "a" || w.metadata["message_id"] != third.GetMessageId() || w.metadata["queue"] != "argus_task_queue" {
			t.Error("metadata", w.metadata)
		}
	})
}

func TestBadRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	b.publish(t, "job")
	token := b.readOne(t).GetLeaseToken()
	before := b.raw.Keys(b.ctx, "*").Val()
	nan := structpb.NewNumberValue(math.NaN())
	for name, c := range map[string]struct {
		field string
		call  func() error
	}{
		"no task": {"task", func() error { _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{}); return err }},
		"nil in batch": {"tasks[0].job_id", func() error {
			_, err := b.queue.PublishBatch(b.ctx, &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "*"}}})
			return err
		}},
		"delay": {"delay", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, Delay: durationpb.New(-time.Second)})
			return err
		}},
		"absurd delay": {"delay", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, Delay: &durationpb.Duration{Seconds: 1 << 62}})
			return err
		}},
		"delay and run_at": {"run_at", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, Delay: &durationpb.Duration{}, RunAt: timestamppb.Now()})
			return err
		}},
		"run_at": {"run_at", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, RunAt: &timestamppb.Timestamp{Seconds: 1 << 60}})
			return err
		}},
		"created_at": {"task.created_at", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{CreatedAt: &timestamppb.Timestamp{Nanos: -1}}})
			return err
		}},
		"ttl of 0": {"initial_state.ttl", func() error {
			_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, InitialState: &argusv1.InitialState{Ttl: &durationpb.Duration{}}})
			return err
		}},
		"wait": {"wait", func() error {
			_, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: durationpb.New(-1)})
			return err
		}},
		"absurd wait": {"wait", func() error {
			_, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "j", Wait: durationpb.New(1000 * time.Hour)})
			return err
		}},
		"status": {"status", func() error {
			_, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token})
			return err
		}},
		"running": {"status", func() error {
			_, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: 2})
			return err
		}},
		"unknown status": {"status", func() error {
			_, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: 99})
			return err
		}},
		"token": {"lease_token", func() error {
			_, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{Status: completed})
			return err
		}},
		"two faults": {"consumer", func() error {
			_, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Group: "{", Consumer: "}"})
			if w := tell(err); !slices.Contains(w.fields, "group") {
				t.Error("the group's fault is not told:", w.fields)
			}
			return err
		}},
		"field": {"field", func() error { _, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "j"}); return err }},
		"value": {"value", func() error {
			_, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "j", Field: "f", Value: strings.Repeat("x", 1<<20+1)})
			return err
		}},
		"json": {"json", func() error {
			_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "j", Field: "f", Input: &argusv1.SetJSONRequest_Json{Json: "{"}})
			return err
		}},
		"NaN": {"value", func() error {
			_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "j", Field: "f", Input: &argusv1.SetJSONRequest_Value{Value: nan}})
			return err
		}},
		"no json": {"json", func() error {
			_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "j", Field: "f"})
			return err
		}},
		"on_conflict": {"on_conflict", func() error {
			_, err := b.state.Init(b.ctx, &argusv1.InitRequest{JobId: "j", OnConflict: 9})
			return err
		}},
		"page_token": {"page_token", func() error { _, err := b.state.List(b.ctx, &argusv1.ListRequest{PageToken: "x"}); return err }},
		"page_size":  {"page_size", func() error { _, err := b.state.List(b.ctx, &argusv1.ListRequest{PageSize: -1}); return err }},
		"cursor":     {"after_cursor", func() error { return b.watchError(&argusv1.WatchRequest{JobId: "j", AfterCursor: "x"}) }},
		"heartbeat": {"heartbeat_interval", func() error {
			return b.watchError(&argusv1.WatchRequest{JobId: "j", HeartbeatInterval: durationpb.New(1)})
		}},
		"watch": {"job_id", func() error { return b.watchError(&argusv1.WatchRequest{}) }},
	} {
		w := tell(c.call())
		if w.code != codes.InvalidArgument || !slices.Contains(w.fields, c.field) || w.reason == "" || w.metadata["field"] == "" {
			t.Errorf("%s: %+v, want a fault of %s", name, w, c.field)
		}
	}
	if diff := cmp.Diff(before, b.raw.Keys(b.ctx, "*").Val()); diff != "" {
		t.Error("something was written:", diff)
	}
}

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
		w := expect(t, err, codes.OutOfRange, argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED)
		if w.metadata["earliest_cursor"] != "0-0" || w.metadata["job_id"] != "job" {
			t.Error("metadata", w.metadata)
		}
	})
}

func TestShutdownEndsWhatWaits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() {
			r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: durationpb.New(30 * time.Second)})
			if len(r.GetDeliveries()) != 0 {
				t.Error(r)
			}
			ended <- err
		}()
		go func() {
			r, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job", Wait: durationpb.New(30 * time.Second)})
			if r.GetDone() {
				t.Error(r)
			}
			ended <- err
		}()
		go b.shutdown()
		_, err = watch.Recv()
		if w := expect(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN); !w.retryable {
			t.Error("not retryable")
		}
		for range 2 {
			// A call that the shutdown met on its way to the server was never begun.
			if err := <-ended; err != nil && tell(err).code != codes.Unavailable && tell(err).code != codes.Canceled {
				t.Error(err)
			}
		}
	})
}

func TestCallerThatLeavesGetsNothing(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for inTime := false; !inTime; { // on a busy machine the time for the answer may be too short now and then
			ctx, cancel := context.WithTimeout(b.ctx, 4*time.Second) // of which a second is for the answer
			r, err := b.queue.Read(ctx, &argusv1.ReadRequest{Consumer: "w", Wait: durationpb.New(30 * time.Second)})
			cancel()
			if len(r.GetDeliveries()) != 0 || err != nil && (status.Code(err) != codes.DeadlineExceeded || b.ctx.Err() != nil) {
				t.Fatal("the answer did not come before the deadline:", r, err)
			}
			inTime = err == nil
		}
		gone, leave := context.WithCancel(b.ctx)
		left := make(chan struct{})
		go func() {
			defer close(left)
			_, _ = b.queue.Read(gone, &argusv1.ReadRequest{Consumer: "gone", Wait: durationpb.New(30 * time.Second)})
		}()
		leave()
		<-left
		b.publish(t, "job")
		if d := b.readOne(t); d.GetDeliveryAttempt() != 1 {
			t.Error(d)
		}
	})
}

// late is a store that has what was read only when its caller is gone.
type late struct {
	server.Broker
	begun, returned chan struct{}
}

func (l late) Read(ctx context.Context, r redis.ReadRequest) ([]redis.Delivery, error) {
	if r.Consumer != "late" {
		return l.Broker.Read(ctx, r)
	}
	close(l.begun)
	<-ctx.Done()
	return l.Broker.Read(context.WithoutCancel(ctx), r)
}

func (l late) Release(ctx context.Context, deliveries []redis.Delivery) {
	l.Broker.Release(ctx, deliveries)
	close(l.returned)
}

// What was leased for a caller that has left, or whose deadline has passed, goes to another at
// once.
func TestReadForACallerThatIsGone(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		store := &late{begun: make(chan struct{}), returned: make(chan struct{})}
		b := setupServer(t, e, redis.BrokerConfig{}, func(c *server.Config) { store.Broker, c.Broker = c.Broker, store })
		b.publish(t, "job")
		ctx, leave := context.WithCancel(b.ctx)
		go func() { <-store.begun; leave() }()
		if r, err := b.queue.Read(ctx, &argusv1.ReadRequest{Consumer: "late"}); status.Code(err) != codes.Canceled {
			t.Fatal(r, err)
		}
		select {
		case <-store.returned:
		case <-b.ctx.Done():
			t.Fatal("nothing was given back")
		}
		if d := b.readOne(t); d.GetTask().GetJobId() != "job" || d.GetDeliveryAttempt() != 1 {
			t.Error(d)
		}
	})
}

func TestHealthAndReflection(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	client := healthpb.NewHealthClient(b.conn)
	for _, service := range []string{"", "argus.v1.TaskQueue", "argus.v1.JobState", "argus.v1.Completion"} {
		watch, err := client.Watch(b.ctx, &healthpb.HealthCheckRequest{Service: service})
		if err != nil {
			t.Fatal(err)
		}
		for {
			r, err := watch.Recv()
			if err != nil {
				t.Fatal(service, err)
			}
			if r.GetStatus() == healthpb.HealthCheckResponse_SERVING {
				break
			}
		}
	}
	stream, err := reflectionpb.NewServerReflectionClient(b.conn).ServerReflectionInfo(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}}); err != nil {
		t.Fatal(err)
	}
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, s := range r.GetListServicesResponse().GetService() {
		names = append(names, s.GetName())
	}
	for _, want := range []string{"argus.v1.TaskQueue", "argus.v1.JobState", "argus.v1.Completion", "grpc.health.v1.Health"} {
		if !slices.Contains(names, want) {
			t.Error(want, "is not reflected:", names)
		}
	}
	_ = stream.CloseSend()
}

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
		expect(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
		if text := status.Convert(err).Message(); !strings.HasPrefix(text, "value: ") {
			t.Error(text)
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "c", mib, "d", mib) // a raw peer has no bound
		_, err = b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job"})
		expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_RESPONSE_TOO_LARGE)
		if r, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "job", Fields: []string{"a", "b"}}); err != nil || len(r.GetFields()) != 2 {
			t.Error(err)
		}
		b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:job"), Values: []any{"status", "completed", "x", strings.Repeat(mib, 5)}})
		r, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job"})
		if err != nil || r.GetEvent().GetStatus() != completed || r.GetEvent().GetFields()["argus_truncated"] == "" {
			t.Error("an event that no message can hold:", r, err)
		}
	})
}

func TestSlowReaderIsCutOff(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupServer(t, e, redis.BrokerConfig{}, func(c *server.Config) { c.SendTimeout = 2 * time.Second })
		half := strings.Repeat("x", 1<<19)
		for range 8 {
			if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:job"), Values: []any{"status", "running", "x", half}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		slow, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		other, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		for range 9 { // the snapshot and all events: the other is not held up
			if _, err := other.Recv(); err != nil {
				t.Fatal(err)
			}
		}
		b.awaitLog(t, `"reason":"SLOW_READER"`)
		frames := 0
		for err == nil {
			if _, err = slow.Recv(); err == nil {
				frames++
			}
		}
		if w := expect(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SLOW_READER); !w.retryable || frames > 8 {
			t.Error(w, frames)
		}
	})
}

func TestLogsHoldNoPayload(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: "job", GcsUri: "gs://secret", Attributes: map[string]string{"k": "secret"}}})
	if err != nil {
		t.Fatal(err)
	}
	d := b.readOne(t)
	_, err = b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed, Fields: map[string]string{"k": "secret"}, ErrorMessage: "secret"})
	if err != nil {
		t.Fatal(err)
	}
	b.publish(t, "rejected")
	if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: b.readOne(t).GetLeaseToken(), DeadLetter: true, Reason: "secret"}); err != nil {
		t.Fatal(err)
	}
	b.shutdown()
	text := b.logs.String()
	if strings.Contains(text, "secret") {
		t.Error("a payload was logged:", text)
	}
	for _, want := range []string{`"method":"/argus.v1.TaskQueue/Complete"`, `"job_id":"job"`, `"message_id":"` + d.GetMessageId() + `"`, `"consumer":"w"`, `"code":"OK"`, `"duration_ms":`,
		`"msg":"a task went to the dead letters"`, `"cause":"rejected"`} {
		if !strings.Contains(text, want) {
			t.Errorf("the log lacks %s:\n%s", want, text)
		}
	}
}
