package server_test

import (
	"fmt"
	"testing"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// setupConsume publishes n jobs and opens a stream that may hold max of them.
func setupConsume(t *testing.T, e redistest.Engine, n int, max int32) (*bundle, *stream) {
	t.Helper()
	b := setup(t, e)
	for i := range n {
		b.publish(t, fmt.Sprint("job-", i))
	}
	return b, b.consume(t, "w", max)
}

// Each request gets its response, and each lease that it ends makes room for another delivery.
func TestConsumeSettles(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		_, c := setupConsume(t, e, 7, 3)
		d := c.deliveries(3)
		c.silence() // the credit is used up
		c.complete(1, d[0].GetLeaseToken())
		got, more := c.responses(1, 1)
		if got[1].GetComplete().GetCursor() == "" {
			t.Errorf("Complete: %v, want a cursor", got[1])
		}
		c.ack(2, d[1].GetLeaseToken(), "x")
		c.deadLetter(3, d[2].GetLeaseToken())
		got, rest := c.responses(2, 2)
		if r := got[2].GetAck().GetResults(); len(r) != 2 || r[0].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_ACKED || r[1].GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_INVALID {
			t.Errorf("Ack: %v, want ACKED and INVALID", got[2])
		}
		if got[3].GetNack().GetOutcome() != argusv1.NackOutcome_NACK_OUTCOME_DEAD {
			t.Errorf("Nack: %v, want DEAD", got[3])
		}
		if len(more)+len(rest) != 3 {
			t.Errorf("%d deliveries in place of 3 settled ones", len(more)+len(rest))
		}
		c.silence()
	})
}

func TestConsumeAnswersFailures(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		_, c := setupConsume(t, e, 3, 3)
		d := c.deliveries(3)
		c.complete(1, d[0].GetLeaseToken())
		c.deadLetter(2, d[1].GetLeaseToken())
		c.responses(2, 0)
		c.extend(4, d[2].GetLeaseToken())
		c.complete(5, d[0].GetLeaseToken())
		c.complete(6, "x")
		c.complete(7, d[1].GetLeaseToken())
		got, _ := c.responses(4, 0)
		if got[4].GetExtendLease().GetLeaseExpireTime() == nil {
			t.Errorf("ExtendLease: %v, want the new expiry", got[4])
		}
		if !got[5].GetComplete().GetAlreadyCompleted() {
			t.Errorf("a repeated Complete: %v, want already_completed", got[5])
		}
		if f := got[6].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID || f.GetMessage() == "" || f.GetRetryable() {
			t.Errorf("Complete with a bad token: %v, want LEASE_TOKEN_INVALID", got[6])
		}
		if f := got[7].GetFailure(); f.GetReason() != argusv1.ErrorReason_ERROR_REASON_LEASE_LOST {
			t.Errorf("Complete of a dead task: %v, want LEASE_LOST", got[7])
		}
	})
}

// set_max_outstanding takes credit and returns it; 0 pauses the deliveries.
func TestConsumePausesAndResumes(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		_, c := setupConsume(t, e, 4, 3)
		d := c.deliveries(3)
		c.setMaxOutstanding(0)
		c.complete(8, d[0].GetLeaseToken())
		c.responses(1, 0)
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_Heartbeat{}})
		c.setMaxOutstanding(3)
		c.deliveries(1)
	})
}

// After the half-close nothing more is delivered, and every request gets its response.
func TestConsumeHalfClose(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, c := setupConsume(t, e, 1, 3)
		c.complete(9, c.deliveries(1)[0].GetLeaseToken())
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		b.publish(t, "late")
		if last := c.awaitEnd(); len(last) != 1 || last[0].GetId() != 9 || last[0].GetComplete() == nil {
			t.Errorf("after the half-close: %v, want only the response of the last request", last)
		}
		if d := b.readOne(t); d.GetTask().GetJobId() != "late" {
			t.Errorf("read %v, want the task of the job late", d)
		}
	})
}

// The leases that a worker left behind count when it comes back under its name.
func TestConsumeCountsLeasesOfAnEarlierStream(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b, c := setupConsume(t, e, 3, 3)
		left := c.deliveries(3)
		if err := c.CloseSend(); err != nil {
			t.Fatal(err)
		}
		c.awaitEnd()
		b.publish(t, "next")
		c = b.consume(t, "w", 2) // less than the three leases that are left
		c.silence()
		c.complete(1, left[0].GetLeaseToken())
		c.complete(2, left[1].GetLeaseToken())
		if _, d := c.responses(2, 1); d[0].GetTask().GetJobId() != "next" {
			t.Errorf("delivered %v, want the task of the job next", d)
		}
	})
}
