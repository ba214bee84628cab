package server_test

import (
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A worker that lost its lease cannot write the job's state.
func TestFencedState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "job")
		token := b.readOne(t).GetLeaseToken()
		writes := map[string]func() error{
			"SetField": func() error {
				_, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "1", LeaseToken: token})
				return err
			},
			"SetFields": func() error {
				_, err := b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"a": "1"}, LeaseToken: token})
				return err
			},
			"SetJSON": func() error {
				_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "a", Input: &argusv1.SetJSONRequest_Json{Json: "1"}, LeaseToken: token})
				return err
			},
		}
		for name, write := range writes {
			if err := write(); err != nil {
				t.Errorf("%s with a lease: %v, want no error", name, err)
			}
		}
		if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed}); err != nil {
			t.Fatal(err)
		}
		before := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val()
		for name, write := range writes {
			wantError(t, write(), codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST)
			if after := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val(); len(after) != len(before) {
				t.Errorf("%s without a lease changed the state to %v", name, after)
			}
		}
	})
}
