package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/redis"
)

// call is one call on its way through the interceptors.
type call struct {
	method  string
	request any   // the (first) request; nil before it was received
	cause   error // what the handler returned, for the log
	log     *slog.Logger
	samples *samples
}

func (s *Server) newCall(method string, request any) *call {
	return &call{method: method, request: request, log: s.log, samples: &s.samples}
}

// layer is one interceptor: it runs the rest of the call and may look at how it ended.
// One form serves unary and streaming calls, so that the two can't differ.
type layer func(ctx context.Context, c *call, next func(context.Context) error) error

// layers are the interceptors, outermost first. Recovery is last, so that a panic is
// told and logged like any other failure.
var layers = []layer{logCall, tellErrors, recoverPanic}

func (s *Server) interceptors() []grpc.ServerOption {
	unary := func(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
		requestArrived(ctx)
		defer callOver(ctx)
		c := s.newCall(info.FullMethod, request)
		err = c.run(ctx, layers, func(ctx context.Context) error {
			done, err := s.workOn(request)
			if err != nil {
				return err
			}
			defer done()
			place, err := s.placeFor(ctx, info.FullMethod)
			if err != nil {
				return err
			}
			isBuilt := false
			defer func() {
				if !isBuilt { // it failed, or panicked
					place.release()
				}
			}()
			answer, err := handler(ctx, request)
			if err == nil {
				isBuilt = true
				response, err = s.toSend(ctx, answer, place, nil)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		return response, nil
	}
	stream := func(service any, inner grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
		defer callOver(inner.Context())
		c := s.newCall(info.FullMethod, nil)
		return c.run(inner.Context(), layers, func(ctx context.Context) error {
			ctx, stop := s.whileServing(ctx)
			defer stop()
			return ended(ctx, handler(service, &serverStream{ServerStream: inner, ctx: ctx, call: c, converses: info.IsClientStream && !receivesInBackground(service), server: s}))
		})
	}
	return []grpc.ServerOption{grpc.UnaryInterceptor(unary), grpc.StreamInterceptor(stream)}
}

// workOn takes room for a request, which is in memory until its call is over; there may be no more.
func (s *Server) workOn(request any) (done func(), err error) {
	size := int64(sizeOf(request))
	switch {
	case size <= streamWindow:
		return func() {}, nil
	case !s.requests.TryAcquire(size):
		return nil, errBusy
	}
	return func() { s.requests.Release(size) }, nil
}

func (c *call) run(ctx context.Context, layers []layer, handler func(context.Context) error) error {
	if len(layers) == 0 {
		return handler(ctx)
	}
	return layers[0](ctx, c, func(ctx context.Context) error { return c.run(ctx, layers[1:], handler) })
}

// serverStream notes a stream's first request, checks what is sent, and ends with the
// server's shutdown: no stream, not even health's or reflection's, holds it up.
type serverStream struct {
	grpc.ServerStream
	ctx       context.Context // ends when the server shuts down
	call      *call
	converses bool // the client sends more than its request, and the handler waits for it
	moved     atomic.Int64

	server *Server
}

func (s *serverStream) Context() context.Context { return s.ctx }

func (s *serverStream) RecvMsg(message any) error {
	err := s.receive(message)
	if err == nil && s.call.request == nil {
		requestArrived(s.ctx)
		s.call.request = message
	}
	return err
}

// receivesInBackground is true of a service whose handlers don't wait for more than the first
// request themselves: see received.
func receivesInBackground(service any) bool {
	switch service.(type) {
	case *taskQueue, *completion:
		return true
	}
	return false
}

// receive waits for a message, but not beyond the server's shutdown. What then still
// waits in the background ends with the stream, which is as soon as the handler returns.
func (s *serverStream) receive(message any) error {
	if !s.converses {
		return s.ServerStream.RecvMsg(message)
	}
	received := make(chan error, 1)
	go func() { received <- s.ServerStream.RecvMsg(message) }()
	select {
	case err := <-received:
		return err
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// SendMsg sends a message. A caller that takes nothing is not waited for beyond the send
// time-out or the server's shutdown; what then still waits ends with the stream.
func (s *serverStream) SendMsg(message any) error {
	place, err := s.server.placeFor(s.ctx, s.call.method)
	if err == nil {
		message, err = s.server.toSend(s.ctx, message, place, &s.moved)
	}
	if err != nil {
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- s.ServerStream.SendMsg(message) }()
	return whileMoving(s.ctx, sent, &s.moved, s.server.config.SendTimeout)
}

// tellErrors turns what the handler returned into a status.
func tellErrors(ctx context.Context, c *call, next func(context.Context) error) error {
	if c.cause = next(ctx); c.cause == nil {
		return nil
	}
	return toStatus(c.cause, describe(c.request))
}

// recoverPanic turns a panic into an error.
func recoverPanic(ctx context.Context, c *call, next func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.ErrorContext(ctx, "panic", "method", c.method, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return next(ctx)
}

// logCall logs a call when it has ended: failures of ours as warnings, failures of the
// caller as information, successes for debugging. Of failures that are alike it logs samples.
func logCall(ctx context.Context, c *call, next func(context.Context) error) error {
	start := time.Now()
	err := next(ctx)
	level := slog.LevelDebug
	switch code := status.Code(err); code {
	case codes.OK, codes.Canceled:
	case codes.Unknown, codes.Internal, codes.Unavailable, codes.ResourceExhausted:
		level = slog.LevelWarn
	default:
		level = slog.LevelInfo
	}
	if !c.log.Enabled(ctx, level) || level > slog.LevelDebug && !c.samples.take(ctx, c.log, kind{c.method, reasonOf(err)}, level) {
		return err
	}
	attrs := []slog.Attr{slog.String("method", c.method), slog.String("code", status.Code(err).String()),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000)}
	if err != nil {
		attrs = append(attrs, slog.String("reason", reasonOf(err)), slog.Any("error", c.cause))
	}
	attrs = append(attrs, describe(c.request).attrs()...)
	c.log.LogAttrs(ctx, level, "call", attrs...)
	return err
}

// subject is what a call is about, for errors and logs.
type subject struct{ queue, jobID, messageID, consumer string }

// describe finds the subject in a request's fields or in its lease token.
func describe(request any) subject {
	var s subject
	if r, ok := request.(interface{ GetQueue() string }); ok {
		s.queue = r.GetQueue()
	}
	if r, ok := request.(interface{ GetJobId() string }); ok {
		s.jobID = r.GetJobId()
	}
	if r, ok := request.(interface{ GetConsumer() string }); ok {
		s.consumer = r.GetConsumer()
	}
	if r, ok := request.(interface{ GetLeaseToken() string }); ok && r.GetLeaseToken() != "" {
		if lease, err := redis.ParseLease(r.GetLeaseToken()); err == nil {
			s = subject{lease.Queue, lease.JobID, lease.EntryID, lease.Consumer}
		}
	}
	return s
}

func (s subject) each(do func(name, value string)) {
	for _, pair := range [][2]string{{"queue", s.queue}, {"job_id", s.jobID}, {"message_id", s.messageID}, {"consumer", s.consumer}} {
		if pair[1] != "" && len(pair[1]) <= redis.MaxNameBytes {
			do(pair[0], pair[1])
		}
	}
}

func (s subject) metadata() map[string]string {
	m := make(map[string]string)
	s.each(func(name, value string) { m[name] = value })
	return m
}

func (s subject) attrs() []slog.Attr {
	var attrs []slog.Attr
	s.each(func(name, value string) { attrs = append(attrs, slog.String(name, value)) })
	return attrs
}
