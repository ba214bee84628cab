package server

import (
	"context"
	"fmt"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
)

// errSlowRequest is why a call ends whose request does not arrive.
var errSlowRequest = fmt.Errorf("the request did not arrive in time: %w", context.DeadlineExceeded)

// awaited is the context of a call. It ends when the call's first request has not arrived
// in time: gRPC itself waits for ever, and keeps what has arrived of it.
type awaited struct {
	context.Context
	arrived func() // may be called more than once
	over    func() // the call is over; may be called more than once
}

type awaitedKey struct{}

// admitCall takes a call, or refuses it, and begins to wait for its first request. gRPC calls
// it before it reads anything of the request, and must not be held up.
func (s *Server) admitCall(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if client, ok := peer.FromContext(ctx); ok {
		if c, ok := client.AuthInfo.(connection); ok && c.isRefused {
			return nil, s.refuse(ctx)
		}
	}
	if s.calls.Add(1) > int64(s.config.MaxCalls) {
		s.calls.Add(-1)
		return nil, s.refuse(ctx)
	}
	over := sync.OnceFunc(func() { s.calls.Add(-1) })
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(s.config.patience.request, func() { cancel(errSlowRequest) })
	// The timer would keep a call in memory that was reset.
	keep := context.AfterFunc(ctx, func() { timer.Stop(); over() })
	return &awaited{ctx, func() { timer.Stop(); keep() }, over}, nil
}

// refuse refuses a call that is more than the server may have. The log has no method: at this
// point it is any text of the client's.
func (s *Server) refuse(ctx context.Context) error {
	c := s.newCall("", nil)
	return logCall(ctx, c, func(ctx context.Context) error {
		return tellErrors(ctx, c, func(context.Context) error { return errBusy })
	})
}

// requestArrived ends the waiting for a call's first request.
func requestArrived(ctx context.Context) {
	if a, ok := ctx.Value(awaitedKey{}).(*awaited); ok {
		a.arrived()
	}
}

// callOver counts a call no more.
func callOver(ctx context.Context) {
	if a, ok := ctx.Value(awaitedKey{}).(*awaited); ok {
		a.over()
	}
}

func (a *awaited) Value(key any) any {
	if key == (awaitedKey{}) {
		return a
	}
	return a.Context.Value(key)
}

// Err is what gRPC tells the caller.
func (a *awaited) Err() error {
	if context.Cause(a.Context) == errSlowRequest {
		return context.DeadlineExceeded
	}
	return a.Context.Err()
}
