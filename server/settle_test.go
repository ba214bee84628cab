package server_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestNackAndAck(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		r, err := b.queue.PublishBatch(b.ctx, &argusv1.PublishBatchRequest{Tasks: []*argusv1.Task{{JobId: "a"}, {}}})
		if err != nil || len(r.GetMessageIds()) != 2 || r.GetJobIds()[0] != "a" || r.GetJobIds()[1] == "" {
			t.Fatalf("PublishBatch: %v, %v; want two messages and job ids", r, err)
		}
		first := b.readOne(t)
		if _, err := b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: first.GetLeaseToken(), Delay: durationpb.New(time.Millisecond), Reason: "later"}); err != nil {
			t.Error(err)
		}
		second, third := b.readOne(t), b.readOne(t)
		if third.GetTask().GetJobId() != "a" || third.GetDeliveryAttempt() != 2 {
			t.Errorf("third delivery %v, want the second attempt of a", third)
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
			t.Errorf("Ack: %v, %v; outcomes differ: %s", acks, err, diff)
		}
		_, err = b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: third.GetLeaseToken()})
		w := wantError(t, err, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST)
		if w.metadata["job_id"] != "a" || w.metadata["message_id"] != third.GetMessageId() || w.metadata["queue"] != "argus_task_queue" {
			t.Errorf("metadata %v, want the job, message and queue of the lease", w.metadata)
		}
	})
}
