package server_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// badRequest is a request with an argument error of a field.
type badRequest struct {
	field string
	call  func() error
}

// wantRefused checks that each request fails with its field, and writes nothing.
func (b *bundle) wantRefused(t *testing.T, requests map[string]badRequest) {
	t.Helper()
	before := b.raw.Keys(b.ctx, "*").Val()
	for name, r := range requests {
		w := detailsOf(r.call())
		if w.code != codes.InvalidArgument || !slices.Contains(w.fields, r.field) || w.reason == "" || w.metadata["field"] == "" {
			t.Errorf("%s: %+v, want INVALID_ARGUMENT of %s", name, w, r.field)
		}
	}
	if diff := cmp.Diff(before, b.raw.Keys(b.ctx, "*").Val()); diff != "" {
		t.Error("a refused request wrote something:", diff)
	}
}

// Publish and PublishBatch check tasks, times and states.
func TestBadPublishRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	b.wantRefused(t, map[string]badRequest{
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
	})
}

// Read, Await and Complete check waits, names, statuses and tokens.
func TestBadWorkerRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	b.publish(t, "job")
	token := b.readOne(t).GetLeaseToken()
	b.wantRefused(t, map[string]badRequest{
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
			if w := detailsOf(err); !slices.Contains(w.fields, "group") {
				t.Errorf("fields %q, want the group too", w.fields)
			}
			return err
		}},
	})
}

// JobState and Watch check names, values, pages and cursors.
func TestBadJobRequests(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	nan := structpb.NewNumberValue(math.NaN())
	b.wantRefused(t, map[string]badRequest{
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
	})
}
