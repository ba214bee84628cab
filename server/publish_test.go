package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestPublishBatchInitialState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		r := &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "a"}, {JobId: "b"}}, InitialState: &argusv1.InitialState{Fields: map[string]string{"x": "y"}}}
		if _, err := b.queue.PublishBatch(b.ctx, r); err != nil {
			t.Fatal(err)
		}
		state, err := b.state.GetAll(b.ctx, &argusv1.GetAllRequest{JobId: "b"})
		if err != nil || state.GetFields()["x"] != "y" || state.GetStatus() != argusv1.JobStatus_JOB_STATUS_PENDING {
			t.Errorf("state %v, %v; want PENDING with the initial fields", state, err)
		}
		_, err = b.queue.PublishBatch(b.ctx, &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "c"}, {JobId: "b"}}, InitialState: r.GetInitialState()})
		if w := wantError(t, err, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS); w.metadata["job_id"] != "b" {
			t.Errorf("error %+v, want the job_id b", w)
		}
		r.InitialState.Ttl = durationpb.New(-time.Second)
		_, err = b.queue.PublishBatch(b.ctx, r)
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
