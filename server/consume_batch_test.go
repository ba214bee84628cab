package server_test

import (
	"fmt"
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A request with many results gets one response with as many outcomes, and each lease that is
// settled returns its credit.
func TestConsumeCompletesBatches(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for i := range 9 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 4)
		first := c.deliveries(4)
		batch := &argusv1.CompleteBatchRequest{}
		for _, d := range first[:3] {
			batch.Requests = append(batch.Requests, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: completed})
		}
		batch.Requests = append(batch.Requests, &argusv1.CompleteRequest{LeaseToken: "bad", Status: completed},
			&argusv1.CompleteRequest{LeaseToken: first[3].GetLeaseToken()})
		c.send(&argusv1.ConsumeRequest{Id: 7, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: batch}})
		var outcomes []*argusv1.CompleteOutcome
		var more []*argusv1.Delivery
		for outcomes == nil || len(more) < 3 {
			r := c.next()
			if r.GetCompleteBatch() != nil {
				if outcomes = r.GetCompleteBatch().GetOutcomes(); r.GetId() != 7 || len(outcomes) != 5 {
					t.Fatalf("received %v, want five outcomes for request 7", r)
				}
				continue
			}
			more = append(more, r.GetDeliveries().GetDeliveries()...)
		}
		c.silence() // the fourth is not settled
		for i, o := range outcomes {
			reason := argusv1.ErrorReason_ERROR_REASON_UNSPECIFIED
			switch i {
			case 3:
				reason = argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID
			case 4:
				reason = argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
			}
			if o.GetFailure().GetReason() != reason || (o.GetComplete().GetCursor() == "") != (i > 2) {
				t.Errorf("outcome %d: %v, want the reason %v", i, o, reason)
			}
		}
		c.send(&argusv1.ConsumeRequest{Id: 8, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: &argusv1.CompleteBatchRequest{}}})
		if r := c.next(); r.GetId() != 8 || r.GetFailure().GetReason() != argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
			t.Errorf("an empty batch: %v, want INVALID_ARGUMENT", r)
		}
		// The unary RPC does the same.
		r, err := b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{Requests: []*argusv1.CompleteRequest{
			{LeaseToken: first[3].GetLeaseToken(), Status: completed}, {LeaseToken: first[0].GetLeaseToken(), Status: completed}}})
		if err != nil || r.GetOutcomes()[0].GetComplete().GetCursor() == "" || !r.GetOutcomes()[1].GetComplete().GetAlreadyCompleted() {
			t.Errorf("CompleteBatch: %v, %v; want a cursor and already_completed", r, err)
		}
		_, err = b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
