package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc/tap"
)

// errSlowRequest is why a call ends whose request does not arrive.
var errSlowRequest = fmt.Errorf("the request did not arrive in time: %w", context.DeadlineExceeded)

// awaited is the context of a call. It ends when the call's first request has not arrived
// in time: gRPC itself waits for ever, and keeps what has arrived of it.
type awaited struct {
	context.Context
	arrived func() // may be called more than once
}

type awaitedKey struct{}

// awaitRequest begins to wait for a call's first request. gRPC calls it before it reads
// anything of the request, and must not be held up.
func (p patience) awaitRequest(ctx context.Context, _ *tap.Info) (context.Context, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(p.request, func() { cancel(errSlowRequest) })
	// The timer would keep a call in memory that was reset.
	keep := context.AfterFunc(ctx, func() { timer.Stop() })
	return &awaited{ctx, func() { timer.Stop(); keep() }}, nil
}

// requestArrived ends the waiting for a call's first request.
func requestArrived(ctx context.Context) {
	if a, ok := ctx.Value(awaitedKey{}).(*awaited); ok {
		a.arrived()
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
