package server

import (
	"context"
	"errors"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

const (
	// consumeWait is how long one read waits for tasks; the next follows at once.
	consumeWait = time.Hour
	// consumeRetry is the pause before the next read when the store is unavailable.
	consumeRetry = 250 * time.Millisecond
)

// read delivers tasks while the worker has credit, until ctx or the stream ends.
func (c *consumeStream) read(ctx context.Context) {
	for {
		reading, cancel := context.WithCancel(ctx)
		n, ok := c.credit.wait(ctx, cancel)
		if !ok {
			cancel()
			return
		}
		deliveries, err := c.queue.tasks.Read(reading, queue.ReadRequest{Queue: c.start.GetQueue(), Group: c.start.GetGroup(),
			Consumer: c.start.GetConsumer(), Max: n, Wait: consumeWait})
		creditShrank := reading.Err() != nil
		cancel()
		switch {
		case ctx.Err() != nil && err != nil:
			return
		case creditShrank && err != nil:
		case errors.Is(err, job.ErrUnavailable):
			sleep(ctx, consumeRetry)
		case err != nil:
			c.end(err)
			return
		case len(deliveries) > 0:
			if !c.deliver(ctx, deliveries) {
				return
			}
		}
	}
}

// deliver sends deliveries to the worker. If the stream has ended it releases them and returns
// false.
func (c *consumeStream) deliver(ctx context.Context, deliveries []queue.Delivery) bool {
	frame := &argusv1.Deliveries{Deliveries: toDeliveries(deliveries)}
	tokens := make([]string, len(deliveries))
	for i, d := range frame.GetDeliveries() {
		tokens[i] = d.GetLeaseToken()
	}
	c.credit.deliver(tokens, deliveries)
	if c.name == (consumerName{}) {
		c.name = nameOf(&deliveries[0].Lease)
		c.queue.streams.add(c.name, c.credit)
	}
	if !c.send(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_Deliveries{Deliveries: frame}}) {
		c.queue.tasks.Release(ctx, deliveries)
		return false
	}
	if c.credit.startAudit() {
		c.run(func() { c.audit(ctx) })
	}
	return true
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
