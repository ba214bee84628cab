package server

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// maxOutstanding bounds the credit that a worker may ask for.
const maxOutstanding = 1000

// consumeStream is one Consume stream. Its goroutines: the handler's, which serves requests and
// sends heartbeats; one that receives; one that reads tasks; one that audits while the consumer
// holds any; and one for each request that settles. The handler waits for all but the receiver,
// which ends with the stream.
type consumeStream struct {
	queue  *taskQueue
	start  *argusv1.ConsumeStart
	stream grpc.BidiStreamingServer[argusv1.ConsumeRequest, argusv1.ConsumeResponse]
	ctx    context.Context // ends with the stream
	end    context.CancelCauseFunc
	credit *credit
	name   consumerName // set with the first delivery
	beat   time.Duration
	tasks  sync.WaitGroup

	sending  sync.Mutex
	lastSend atomic.Int64 // in Unix nanoseconds
}

func (q *taskQueue) Consume(stream grpc.BidiStreamingServer[argusv1.ConsumeRequest, argusv1.ConsumeResponse]) error {
	requests, ended := receive(stream.Context(), stream.Recv)
	c := &consumeStream{queue: q, stream: stream}
	select {
	case first := <-requests:
		c.start = first.GetStart()
	case err := <-ended:
		return err
	case <-stream.Context().Done():
		return context.Cause(stream.Context())
	}
	held, err := c.open(stream.Context())
	if err != nil {
		return err
	}
	c.ctx, c.end = context.WithCancelCause(stream.Context())
	defer c.end(nil)
	reading, stopReading := context.WithCancel(c.ctx)
	defer stopReading()

	if len(held.Leases) > 0 && c.credit.startAudit() {
		c.run(func() { c.audit(reading) })
	}
	c.run(func() { c.read(reading) })
	err = c.serve(requests, ended)
	stopReading()
	c.tasks.Wait() // so every received request is answered
	q.streams.remove(c.name, c.credit)
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return err
}

// open checks the first request and counts the leases that the consumer already holds.
func (c *consumeStream) open(ctx context.Context) (held queue.Holding, err error) {
	if c.start == nil {
		return held, &job.ArgumentError{Field: "start", Problem: "must be the first request"}
	}
	if err := checkOutstanding("start.max_outstanding", c.start.GetMaxOutstanding(), 1); err != nil {
		return held, err
	}
	if c.beat, err = c.queue.waits.heartbeat(c.start.GetHeartbeatInterval()); err != nil {
		return held, prefixFields("start.", err)
	}
	held, err = c.held(ctx)
	if err != nil && held.Leases == nil {
		return held, prefixFields("start.", err)
	}
	c.credit = newCredit(int(c.start.GetMaxOutstanding()), held)
	return held, nil
}

// held checks the consumer's names and returns the leases that it holds.
func (c *consumeStream) held(ctx context.Context) (queue.Holding, error) {
	if err := job.CheckConsumer("consumer", c.start.GetConsumer()); err != nil {
		return queue.Holding{}, err
	}
	if c.start.GetGroup() != "" {
		if err := job.CheckID("group", c.start.GetGroup()); err != nil {
			return queue.Holding{}, err
		}
	}
	return c.queue.tasks.Held(ctx, c.start.GetQueue(), c.start.GetGroup(), c.start.GetConsumer())
}

func checkOutstanding(field string, n int32, least int32) error {
	if n < least || n > maxOutstanding {
		return &job.ArgumentError{Field: field, Problem: fmt.Sprintf("is %d, want %d to %d", n, least, maxOutstanding)}
	}
	return nil
}

// run starts a goroutine of the stream. A panic in it ends the stream, not the server.
func (c *consumeStream) run(part func()) {
	c.tasks.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				c.end(fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack()))
			}
		}()
		part()
	})
}

// send sends a frame, or returns false when the stream has ended.
func (c *consumeStream) send(response *argusv1.ConsumeResponse) bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.lastSend.Store(time.Now().UnixNano())
	if err := c.stream.Send(response); err != nil {
		c.end(err)
		return false
	}
	return true
}
