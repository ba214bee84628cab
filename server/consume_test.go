package server_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestConsume(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for i := range 7 {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 3)
		first := c.deliveries(3)
		c.silence() // that is all it may have
		// Each request gets its answer, and what it settles is made up for.
		c.complete(1, first[0].GetLeaseToken())
		answers := func(want int, n int) map[uint32]*argusv1.ConsumeResponse {
			t.Helper()
			got := make(map[uint32]*argusv1.ConsumeResponse)
			var more []*argusv1.Delivery
			for len(got) < want || len(more) < n {
				if r := c.next(); r.GetDeliveries() != nil {
					more = append(more, r.GetDeliveries().GetDeliveries()...)
				} else {
					got[r.GetId()] = r
				}
			}
			first = append(first, more...)
			return got
		}
		if r := answers(1, 1)[1]; r.GetComplete().GetCursor() == "" {
			t.Error(r)
		}
		c.send(&argusv1.ConsumeRequest{Id: 2, Request: &argusv1.ConsumeRequest_Ack{Ack: &argusv1.AckRequest{LeaseTokens: []string{first[1].GetLeaseToken(), "x"}}}})
		c.send(&argusv1.ConsumeRequest{Id: 3, Request: &argusv1.ConsumeRequest_Nack{Nack: &argusv1.NackRequest{LeaseToken: first[2].GetLeaseToken(), DeadLetter: true}}})
		got := answers(2, 2)
		if r := got[2].GetAck().GetResults(); len(r) != 2 || r[0].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_ACKED || r[1].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_INVALID {
			t.Error(got[2])
		}
		if r := got[3].GetNack(); r.GetOutcome() != argusv1.NackOutcome_NACK_OUTCOME_DEAD {
			t.Error(got[3])
		}
		c.send(&argusv1.ConsumeRequest{Id: 4, Request: &argusv1.ConsumeRequest_ExtendLease{ExtendLease: &argusv1.ExtendLeaseRequest{LeaseToken: first[3].GetLeaseToken()}}})
		c.complete(5, first[0].GetLeaseToken())
		c.complete(6, "x")
		c.complete(7, first[2].GetLeaseToken())
		got = answers(4, 0)
		if got[4].GetExtendLease().GetLeaseExpireTime() == nil || !got[5].GetComplete().GetAlreadyCompleted() {
			t.Error(got[4], got[5])
		}
		if f := got[6].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID || f.GetMessage() == "" || f.GetRetryable() {
			t.Error(f)
		}
		if f := got[7].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_LOST {
			t.Error(f)
		}
		// More, less, nothing.
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 0}})
		c.complete(8, first[3].GetLeaseToken())
		answers(1, 0)
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Heartbeat{}})
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 3}})
		first = append(first, c.deliveries(1)...)
		// After the half-close nothing more is delivered, and what was sent is answered.
		c.complete(9, first[6].GetLeaseToken())
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "late")
		answered := false
		for {
			r, err := c.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || r.GetDeliveries() != nil {
				t.Fatal(r, err)
			}
			answered = answered || r.GetId() == 9 && r.GetComplete() != nil
		}
		if !answered {
			t.Error("the last request has no answer")
		}
		if d := b.readOne(t); d.GetTask().GetJobId() != "late" {
			t.Error(d)
		}
		// What it left counts when it comes back under its name.
		b.publish(t, "next")
		c = b.consume(t, "w", 2) // two of its leases are left, and "late"
		c.silence()
		c.complete(1, first[4].GetLeaseToken())
		c.complete(2, first[5].GetLeaseToken())
		answers(2, 1)
		if d := first[len(first)-1]; d.GetTask().GetJobId() != "next" {
			t.Error(d)
		}
	})
}

// A frame with many results is answered by one with as many outcomes, and each that is
// settled gives its credit back.
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
					t.Fatal(r)
				}
				continue
			}
			more = append(more, r.GetDeliveries().GetDeliveries()...)
		}
		c.silence() // the fourth was not settled
		for i, o := range outcomes {
			reason := argusv1.ErrorReason_ERROR_REASON_UNSPECIFIED
			switch i {
			case 3:
				reason = argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID
			case 4:
				reason = argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT
			}
			if o.GetFailure().GetReason() != reason || (o.GetComplete().GetCursor() == "") != (i > 2) {
				t.Errorf("%d: %v", i, o)
			}
		}
		c.send(&argusv1.ConsumeRequest{Id: 8, Request: &argusv1.ConsumeRequest_CompleteBatch{CompleteBatch: &argusv1.CompleteBatchRequest{}}})
		if r := c.next(); r.GetId() != 8 || r.GetFailure().GetReason() != argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT {
			t.Error(r)
		}
		// The unary call does the same.
		r, err := b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{Requests: []*argusv1.CompleteRequest{
			{LeaseToken: first[3].GetLeaseToken(), Status: completed}, {LeaseToken: first[0].GetLeaseToken(), Status: completed}}})
		if err != nil || r.GetOutcomes()[0].GetComplete().GetCursor() == "" || !r.GetOutcomes()[1].GetComplete().GetAlreadyCompleted() {
			t.Error(r, err)
		}
		_, err = b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{})
		wantError(t, err, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT)
	})
}
