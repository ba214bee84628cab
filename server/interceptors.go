package server

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// layer is one interceptor: it runs the rest of the call and may look at how it ended. The same
// layers serve unary and streaming calls, so that the two cannot differ.
type layer func(ctx context.Context, c *call, next func(context.Context) error) error

// layers are the interceptors, outermost first. Recovery is last, so that a panic becomes a
// status and is logged like any other failure.
var layers = []layer{logCall, convertError, recoverPanic}

// run runs a handler within layers.
func (c *call) run(ctx context.Context, layers []layer, handler func(context.Context) error) error {
	if len(layers) == 0 {
		return handler(ctx)
	}
	return layers[0](ctx, c, func(ctx context.Context) error { return c.run(ctx, layers[1:], handler) })
}

// interceptors are the layers as gRPC has them.
type interceptors struct {
	calls     *callLog
	lifecycle *lifecycle
}

func (i *interceptors) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
	c := i.calls.newCall(info.FullMethod, request)
	err = c.run(ctx, layers, func(ctx context.Context) (err error) {
		response, err = handler(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

// stream ends the stream's context when the server shuts down: no stream, not even one of
// health or reflection, holds up the shutdown.
func (i *interceptors) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	c := i.calls.newCall(info.FullMethod, nil)
	return c.run(stream.Context(), layers, func(ctx context.Context) error {
		ctx, stop := i.lifecycle.bind(ctx)
		defer stop()
		return withCause(ctx, handler(service, &callStream{stream, ctx, c}))
	})
}

// callStream is a stream with the call's context. It records the first request, for errors and
// logs.
type callStream struct {
	grpc.ServerStream
	ctx  context.Context
	call *call
}

func (s *callStream) Context() context.Context { return s.ctx }

func (s *callStream) RecvMsg(message any) error {
	err := s.ServerStream.RecvMsg(message)
	if err == nil && s.call.request.Load() == nil {
		s.call.request.Store(message)
	}
	return err
}

// convertError converts the handler's error to a status.
func convertError(ctx context.Context, c *call, next func(context.Context) error) error {
	if c.cause = next(ctx); c.cause == nil {
		return nil
	}
	return toStatus(c.cause, c.subject())
}

// recoverPanic converts a panic to an error.
func recoverPanic(ctx context.Context, c *call, next func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			c.log.logger.ErrorContext(ctx, "panic", "method", c.method, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("%w: %v", errPanic, p)
		}
	}()
	return next(ctx)
}

// logCall logs a call when it ends: at warning level if the server failed, at information level
// if the client did, at debug level otherwise. Similar failures are sampled.
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
	logger := c.log.logger
	if !logger.Enabled(ctx, level) || level > slog.LevelDebug && !c.log.sample(ctx, failureKind{c.method, reasonOf(err)}, level) {
		return err
	}
	attrs := []slog.Attr{slog.String("method", c.method), slog.String("code", status.Code(err).String()),
		slog.Float64("duration_ms", float64(time.Since(start).Microseconds())/1000)}
	if err != nil {
		attrs = append(attrs, slog.String("reason", reasonOf(err)), slog.Any("error", c.cause))
	}
	logger.LogAttrs(ctx, level, "call", append(attrs, c.subject().attrs()...)...)
	return err
}
