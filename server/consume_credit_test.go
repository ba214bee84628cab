package server_test

import (
	"fmt"
	"testing"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A worker that waits and takes back its credit gets nothing more, and others do.
func TestConsumeTakesBackCredit(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		c := b.consume(t, "w", 5)
		c.silence() // it waits
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 0}})
		c.complete(1, "x")
		if r := c.next(); r.GetId() != 1 { // so the frame before was taken
			t.Fatal(r)
		}
		b.publish(t, "one")
		if d := b.readOne(t); d.GetTask().GetJobId() != "one" {
			t.Error(d)
		}
		b.publish(t, "two")
		b.publish(t, "three")
		c.silence()
		c.send(&argusv1.ConsumeRequest{Request: &argusv1.ConsumeRequest_SetMaxOutstanding{SetMaxOutstanding: 1}})
		if d := c.deliveries(1); d[0].GetTask().GetJobId() != "two" || d[0].GetDeliveryAttempt() != 1 {
			t.Error(d)
		}
		c.silence()
	})
}

// What a worker settles by calls of their own gives the credit of its stream back as well.
func TestConsumeWithUnaryCalls(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		const count = 400 // by the audit alone it would take minutes
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

// A worker whose stream breaks while it holds a task, and which comes back under its name, gets
// the task again when its lease has run out, though it may hold one task only. A lease that ran
// out takes no credit: only a read would take it away.
func TestConsumerThatComesBackGetsItsTaskAgain(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setupWith(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Lease: time.Second}})
		b.publish(t, "job")
		first := b.consume(t, "stateful-0", 1)
		token := first.deliveries(1)[0].GetLeaseToken()
		if err := first.CloseSend(); err != nil {
			t.Fatal(err)
		}
		again := b.consume(t, "stateful-0", 1).deliveries(1)[0]
		if again.GetTask().GetJobId() != "job" || again.GetDeliveryAttempt() != 2 || again.GetLeaseToken() == token {
			t.Error(again)
		}
	})
}
