package server_test

import (
	"fmt"
	"testing"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A worker that takes back its credit while it waits gets no task; other workers do.
func TestConsumeTakesBackCredit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		c := b.consume(t, "w", 5)
		c.silence() // it waits
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 0}})
		c.complete(1, "x")
		if r := c.next(); r.GetId() != 1 { // so the previous request was served
			t.Fatalf("received %v, want the response to request 1", r)
		}
		b.publish(t, "one")
		if d := b.readOne(t); d.GetTask().GetJobId() != "one" {
			t.Errorf("read %v, want the task of the job one", d)
		}
		b.publish(t, "two")
		b.publish(t, "three")
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 1}})
		if d := c.deliveries(1); d[0].GetTask().GetJobId() != "two" || d[0].GetDeliveryAttempt() != 1 {
			t.Errorf("delivered %v, want the first attempt of the job two", d)
		}
		c.silence()
	})
}

// A lease that is settled by a unary call returns the stream's credit at once.
func TestConsumeWithUnaryCalls(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		const count = 400 // with the audit alone it would take minutes
		for i := range count {
			b.publish(t, fmt.Sprint("job-", i))
		}
		c := b.consume(t, "w", 1)
		for i := range count {
			token := c.deliveries(1)[0].GetLeaseToken()
			var err error
			switch i % 4 {
			case 0:
				_, err = b.queue.Ack(b.ctx, &argusv1.AckRequest{LeaseTokens: []string{token}})
			case 1:
				_, err = b.queue.Nack(b.ctx, &argusv1.NackRequest{LeaseToken: token, DeadLetter: true})
			case 2:
				_, err = b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed})
			case 3:
				_, err = b.queue.CompleteBatch(b.ctx, &argusv1.CompleteBatchRequest{Requests: []*argusv1.CompleteRequest{{LeaseToken: token, Status: completed}}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A worker that comes back under its name gets the task of its broken stream again when the lease
// has expired, even with a credit of one: an expired lease takes no credit.
func TestReturningWorkerGetsItsTaskAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, job.Settings{Queue: job.QueueSettings{Lease: time.Second}})
		b.publish(t, "job")
		first := b.consume(t, "stateful-0", 1)
		token := first.deliveries(1)[0].GetLeaseToken()
		if err := first.CloseSend(); err != nil {
			t.Fatal(err)
		}
		again := b.consume(t, "stateful-0", 1).deliveries(1)[0]
		if again.GetTask().GetJobId() != "job" || again.GetDeliveryAttempt() != 2 || again.GetLeaseToken() == token {
			t.Errorf("delivery %v, want the second attempt with a new token", again)
		}
	})
}
