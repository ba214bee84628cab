package server_test

import (
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

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
