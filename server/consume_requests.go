package server

import (
	"context"
	"errors"
	"io"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// maxSettling bounds the requests of a stream that are served at the same time.
const maxSettling = 256

// serve takes requests until the client has no more, or the stream ends. It sends a heartbeat
// when nothing else was sent for the interval.
func (c *consumeStream) serve(requests <-chan *argusv1.ConsumeRequest, ended <-chan error) error {
	settling := make(chan struct{}, maxSettling)
	beat := time.NewTimer(c.beat)
	defer beat.Stop()
	for {
		select {
		case r := <-requests:
			if err := c.dispatch(r, settling); err != nil {
				c.end(err)
				return err
			}
		case <-beat.C:
			beat.Reset(c.heartbeat())
		case err := <-ended:
			if errors.Is(err, io.EOF) {
				return nil
			}
			c.end(err)
			return err
		case <-c.ctx.Done():
			return nil
		}
	}
}

// heartbeat sends a heartbeat if one is due, and returns how long it is until the next one.
func (c *consumeStream) heartbeat() time.Duration {
	if wait := c.beat - time.Since(time.Unix(0, c.lastSend.Load())); wait > 0 {
		return wait
	}
	c.send(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}})
	return c.beat
}

// dispatch serves one request: the ones that settle or extend in a goroutine, which holds a
// place in settling.
func (c *consumeStream) dispatch(r *argusv1.ConsumeRequest, settling chan struct{}) error {
	switch request := r.GetRequest().(type) {
	case *argusv1.ConsumeRequest_Heartbeat:
	case *argusv1.ConsumeRequest_SetMaxOutstanding:
		if err := checkOutstanding("set_max_outstanding", request.SetMaxOutstanding, 0); err != nil {
			return err
		}
		c.credit.setMax(int(request.SetMaxOutstanding))
	case nil, *argusv1.ConsumeRequest_Start:
		return &job.ArgumentError{Field: "request", Problem: "must be set, and start only in the first frame"}
	default:
		select {
		case settling <- struct{}{}:
		case <-c.ctx.Done():
			return nil
		}
		c.run(func() {
			defer func() { <-settling }()
			c.send(c.answer(r))
		})
	}
	return nil
}

// answer serves one request and returns the credit of the leases that it ended. The request is
// served to its end even if the client leaves.
func (c *consumeStream) answer(r *argusv1.ConsumeRequest) *argusv1.ConsumeResponse {
	response := &argusv1.ConsumeResponse{Id: r.GetId()}
	settled, err := c.settle(context.WithoutCancel(c.ctx), r, response)
	if isSettled(err) {
		c.credit.settle(settled)
	}
	if err != nil {
		response.Response = &argusv1.ConsumeResponse_Failure{Failure: toFailure(err)}
	}
	return response
}

// settle executes a request. It returns the leases that the worker no longer holds if the error
// is nil or ErrLeaseLost. If there is an error, the response is not valid.
func (c *consumeStream) settle(ctx context.Context, r *argusv1.ConsumeRequest, response *argusv1.ConsumeResponse) (settled []string, err error) {
	switch request := r.GetRequest().(type) {
	case *argusv1.ConsumeRequest_Ack:
		ack, err := c.queue.ack(ctx, request.Ack)
		response.Response = &argusv1.ConsumeResponse_Ack{Ack: ack}
		return request.Ack.GetLeaseTokens(), err
	case *argusv1.ConsumeRequest_Nack:
		nack, err := c.queue.nack(ctx, request.Nack)
		response.Response = &argusv1.ConsumeResponse_Nack{Nack: nack}
		return []string{request.Nack.GetLeaseToken()}, err
	case *argusv1.ConsumeRequest_Complete:
		complete, err := c.queue.complete(ctx, request.Complete)
		response.Response = &argusv1.ConsumeResponse_Complete{Complete: complete}
		return []string{request.Complete.GetLeaseToken()}, err
	case *argusv1.ConsumeRequest_CompleteBatch:
		batch, err := c.queue.completeBatch(ctx, request.CompleteBatch)
		response.Response = &argusv1.ConsumeResponse_CompleteBatch{CompleteBatch: batch}
		return settledBy(request.CompleteBatch, batch), err
	case *argusv1.ConsumeRequest_ExtendLease:
		extend, err := c.queue.ExtendLease(ctx, request.ExtendLease)
		response.Response = &argusv1.ConsumeResponse_ExtendLease{ExtendLease: extend}
		if errors.Is(err, job.ErrLeaseLost) {
			settled = []string{request.ExtendLease.GetLeaseToken()}
		}
		return settled, err
	}
	return nil, nil
}
