package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// Bounds of a Consume stream.
const (
	maxOutstanding = 1000
	// maxSettling is how many requests of a stream are worked on at once.
	maxSettling = 256
	// consumeWait is how long one Read waits; the next follows at once.
	consumeWait = time.Hour
	// auditPeriod is how often a stream looks whether its leases are still its own, and its
	// jobs still wanted.
	auditPeriod = time.Second
	// retryConsume is how long a stream leaves a store alone that is away.
	retryConsume = 250 * time.Millisecond
)

// consumer is one Consume stream. Its goroutines: the handler's, which takes requests and sends
// heartbeats; one that receives; one that reads tasks; one that audits while the consumer holds
// any; and one for each request that is settled.
type consumer struct {
	queue  *taskQueue
	start  *argusv1.ConsumeStart
	stream grpc.BidiStreamingServer[argusv1.ConsumeRequest, argusv1.ConsumeResponse]
	ctx    context.Context // ends with the stream
	end    context.CancelCauseFunc
	credit *credit
	name   consumerName // once it was given something
	beat   time.Duration
	tasks  sync.WaitGroup

	sending sync.Mutex
	sent    atomic.Int64 // when, in ns
}

func (q *taskQueue) Consume(stream grpc.BidiStreamingServer[argusv1.ConsumeRequest, argusv1.ConsumeResponse]) error {
	requests, ended := received(stream.Context(), stream.Recv)
	c := &consumer{queue: q, stream: stream}
	select {
	case first := <-requests:
		c.start = first.GetStart()
	case err := <-ended:
		return err
	case <-stream.Context().Done():
		return context.Cause(stream.Context())
	}
	var err error
	if c.start == nil {
		return &redis.ArgumentError{Field: "start", Problem: "must be the first request"}
	}
	if err := checkOutstanding("start.max_outstanding", c.start.GetMaxOutstanding(), 1); err != nil {
		return err
	}
	if c.beat, err = q.server.heartbeat(c.start.GetHeartbeatInterval()); err != nil {
		return inList("start.", err)
	}
	held, err := q.held(stream.Context(), c.start)
	if err != nil && held.Leases == nil {
		return inList("start.", err)
	}
	c.credit = newCredit(int(c.start.GetMaxOutstanding()), held)
	c.ctx, c.end = context.WithCancelCause(stream.Context())
	defer c.end(nil)
	reading, stopReading := context.WithCancel(c.ctx)
	defer stopReading()

	if len(held.Leases) > 0 && c.credit.toAudit() {
		c.run(func() { c.audit(reading) })
	}
	c.run(func() { c.read(reading) })
	err = c.serve(requests, ended)
	stopReading()
	c.tasks.Wait() // what was received is answered
	q.streams.remove(c.name, c.credit)
	if cause := context.Cause(c.ctx); cause != nil {
		return cause
	}
	return err
}

// run runs a part of the stream; a panic in it ends the stream, not the server.
func (c *consumer) run(part func()) {
	c.tasks.Go(func() {
		defer func() {
			if p := recover(); p != nil {
				c.end(fmt.Errorf("%w: %v\n%s", errPanic, p, debug.Stack()))
			}
		}()
		part()
	})
}

// held checks the names of a start, and finds what the consumer holds already.
func (q *taskQueue) held(ctx context.Context, start *argusv1.ConsumeStart) (redis.Holding, error) {
	if err := redis.CheckConsumer("consumer", start.GetConsumer()); err != nil {
		return redis.Holding{}, err
	}
	if start.GetGroup() != "" {
		if err := redis.CheckID("group", start.GetGroup()); err != nil {
			return redis.Holding{}, err
		}
	}
	return q.broker.Held(ctx, start.GetQueue(), start.GetGroup(), start.GetConsumer())
}

func checkOutstanding(field string, n int32, least int32) error {
	if n < least || n > maxOutstanding {
		return &redis.ArgumentError{Field: field, Problem: fmt.Sprintf("is %d, want %d to %d", n, least, maxOutstanding)}
	}
	return nil
}

// say sends a frame; false when the stream has ended.
func (c *consumer) say(response *argusv1.ConsumeResponse) bool {
	c.sending.Lock()
	defer c.sending.Unlock()
	if c.ctx.Err() != nil {
		return false
	}
	c.sent.Store(time.Now().UnixNano())
	if err := c.stream.Send(response); err != nil {
		c.end(err)
		return false
	}
	return true
}

// serve takes requests until the client has no more, or the stream has ended. While nothing
// else is sent it sends heartbeats.
func (c *consumer) serve(requests <-chan *argusv1.ConsumeRequest, ended <-chan error) error {
	settling := make(chan struct{}, maxSettling)
	beat := time.NewTimer(c.beat)
	defer beat.Stop()
	for {
		var r *argusv1.ConsumeRequest
		select {
		case r = <-requests:
		case <-beat.C:
			wait := c.beat - time.Since(time.Unix(0, c.sent.Load()))
			if wait <= 0 {
				wait = c.beat
				c.say(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}})
			}
			beat.Reset(wait)
			continue
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			c.end(err)
			return err
		case <-c.ctx.Done():
			return nil
		}
		switch request := r.GetRequest().(type) {
		case *argusv1.ConsumeRequest_Heartbeat:
		case *argusv1.ConsumeRequest_SetMaxOutstanding:
			if err := checkOutstanding("set_max_outstanding", request.SetMaxOutstanding, 0); err != nil {
				c.end(err)
				return err
			}
			c.credit.set(int(request.SetMaxOutstanding))
		case nil, *argusv1.ConsumeRequest_Start:
			err := &redis.ArgumentError{Field: "request", Problem: "must be set, and start only in the first frame"}
			c.end(err)
			return err
		default:
			select {
			case settling <- struct{}{}:
			case <-c.ctx.Done():
				return nil
			}
			c.run(func() {
				defer func() { <-settling }()
				c.say(c.answer(r))
			})
		}
	}
}

// answer works on one request, and gives back the credit of what it settled.
func (c *consumer) answer(r *argusv1.ConsumeRequest) *argusv1.ConsumeResponse {
	ctx := context.WithoutCancel(c.ctx) // what was asked for is done, also when the client leaves
	response := &argusv1.ConsumeResponse{Id: r.GetId()}
	var err error
	var settled []string
	switch request := r.GetRequest().(type) {
	case *argusv1.ConsumeRequest_Ack:
		var ack *argusv1.AckResponse
		ack, err = c.queue.ack(ctx, request.Ack)
		response.Response = &argusv1.ConsumeResponse_Ack{Ack: ack}
		settled = request.Ack.GetLeaseTokens()
	case *argusv1.ConsumeRequest_Nack:
		var nack *argusv1.NackResponse
		nack, err = c.queue.nack(ctx, request.Nack)
		response.Response = &argusv1.ConsumeResponse_Nack{Nack: nack}
		settled = []string{request.Nack.GetLeaseToken()}
	case *argusv1.ConsumeRequest_Complete:
		var complete *argusv1.CompleteResponse
		complete, err = c.queue.complete(ctx, request.Complete)
		response.Response = &argusv1.ConsumeResponse_Complete{Complete: complete}
		settled = []string{request.Complete.GetLeaseToken()}
	case *argusv1.ConsumeRequest_CompleteBatch:
		var batch *argusv1.CompleteBatchResponse
		batch, err = c.queue.completeBatch(ctx, request.CompleteBatch)
		response.Response = &argusv1.ConsumeResponse_CompleteBatch{CompleteBatch: batch}
		settled = settledBy(request.CompleteBatch, batch)
	case *argusv1.ConsumeRequest_ExtendLease:
		var extend *argusv1.ExtendLeaseResponse
		extend, err = c.queue.ExtendLease(ctx, request.ExtendLease)
		response.Response = &argusv1.ConsumeResponse_ExtendLease{ExtendLease: extend}
		if errors.Is(err, redis.ErrLeaseLost) {
			settled = []string{request.ExtendLease.GetLeaseToken()}
		}
	}
	if err == nil || errors.Is(err, redis.ErrLeaseLost) {
		c.credit.settled(settled)
	}
	if err != nil {
		response.Response = &argusv1.ConsumeResponse_Failure{Failure: toFailure(err)}
	}
	return response
}

// settledBy lists the leases of a batch that are settled or lost.
func settledBy(r *argusv1.CompleteBatchRequest, response *argusv1.CompleteBatchResponse) []string {
	var settled []string
	for i, o := range response.GetOutcomes() {
		if o.GetFailure() == nil || o.GetFailure().GetReason() == argusv1.ErrorReason_ERROR_REASON_LEASE_LOST {
			settled = append(settled, r.GetRequests()[i].GetLeaseToken())
		}
	}
	return settled
}

// toFailure is an error as one of several requests gets it.
func toFailure(err error) *argusv1.RequestFailure {
	s := toStatus(err, subject{})
	return &argusv1.RequestFailure{
		Reason:  argusv1.ErrorReason(argusv1.ErrorReason_value["ERROR_REASON_"+reasonOf(s)]),
		Message: status.Convert(s).Message(), Retryable: retryable(s),
	}
}

// read gives the worker tasks while it has credit, until ctx ends.
func (c *consumer) read(ctx context.Context) {
	for {
		reading, stop := context.WithCancel(ctx)
		n, ok := c.credit.wait(ctx, stop)
		if !ok {
			stop()
			return
		}
		deliveries, err := c.queue.broker.Read(reading, redis.ReadRequest{Queue: c.start.GetQueue(), Group: c.start.GetGroup(),
			Consumer: c.start.GetConsumer(), Max: n, Wait: consumeWait})
		hasStopped := reading.Err() != nil
		stop()
		switch {
		case ctx.Err() != nil && err != nil:
			return
		case hasStopped && err != nil: // there is less credit now
			continue
		case errors.Is(err, redis.ErrUnavailable):
			pause(ctx, retryConsume)
			continue
		case err != nil:
			c.end(err)
			return
		case len(deliveries) == 0:
			continue
		}
		frame := &argusv1.Deliveries{Deliveries: toDeliveries(deliveries)}
		tokens := make([]string, len(deliveries))
		for i, d := range frame.GetDeliveries() {
			tokens[i] = d.GetLeaseToken()
		}
		c.credit.took(tokens, deliveries)
		if c.name == (consumerName{}) {
			c.name = nameOf(&deliveries[0].Lease)
			c.queue.streams.add(c.name, c.credit)
		}
		if !c.say(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_Deliveries{Deliveries: frame}}) {
			c.queue.broker.Release(ctx, deliveries)
			return
		}
		if c.credit.toAudit() {
			c.run(func() { c.audit(ctx) })
		}
	}
}

// audit tells the worker of leases that were lost and of jobs that were cancelled, and
// gives back the credit of what is not pending any more, until the consumer holds nothing or
// ctx ends.
func (c *consumer) audit(ctx context.Context) {
	cancelled := c.queue.broker.Cancellations()
	defer cancelled.Close()
	ticker := time.NewTicker(auditPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if c.credit.endAudit() {
				return
			}
			held, err := c.queue.held(ctx, c.start)
			if err != nil {
				continue
			}
			for token, lease := range c.credit.audit(held) {
				c.say(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_LeaseLost{
					LeaseLost: &argusv1.LeaseNotice{LeaseToken: token, JobId: lease.JobID}}})
			}
		case <-cancelled.Mail():
		case <-ctx.Done():
			return
		}
		jobs := c.credit.jobs()
		if len(jobs) == 0 {
			continue
		}
		jobs, err := c.queue.broker.CancelledAmong(ctx, jobs)
		if err != nil {
			continue
		}
		for token, lease := range c.credit.cancelled(jobs) {
			c.say(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_CancelRequested{
				CancelRequested: &argusv1.LeaseNotice{LeaseToken: token, JobId: lease.JobID}}})
		}
	}
}

// pause waits; false when the context ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
