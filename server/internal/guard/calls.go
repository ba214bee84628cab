package guard

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/tap"
)

// callContext is the context of a call. It ends with ErrSlowRequest when the call's first
// request does not arrive in time: gRPC itself waits for ever, and keeps what has arrived of it.
type callContext struct {
	context.Context
	requestArrived func() // stops the timer; may be called more than once
	over           func() // stops counting the call; may be called more than once
}

type callContextKey struct{}

// admitCall counts a call and starts the timer for its first request, or refuses the call. gRPC
// calls it before it reads anything of the request, in the goroutine that reads the connection:
// it must not block.
func (g *Guard) admitCall(ctx context.Context, _ *tap.Info) (context.Context, error) {
	if client, ok := peer.FromContext(ctx); ok {
		if c, ok := client.AuthInfo.(*connState); ok && c.refused {
			return nil, g.refuse(ctx)
		}
	}
	if g.calls.Add(1) > int64(g.config.Limits.Calls) {
		g.calls.Add(-1)
		return nil, g.refuse(ctx)
	}
	over := sync.OnceFunc(func() { g.calls.Add(-1) })
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(g.config.Timeouts.Request, func() { cancel(ErrSlowRequest) })
	// Without this the timer would keep a call that was reset in memory.
	cancelCleanup := context.AfterFunc(ctx, func() { timer.Stop(); over() })
	return &callContext{ctx, func() { timer.Stop(); cancelCleanup() }, over}, nil
}

func (g *Guard) refuse(ctx context.Context) error {
	if g.config.Refuse == nil {
		return ErrBusy
	}
	return g.config.Refuse(ctx, ErrBusy)
}

// requestArrived records that the first request of a call has arrived.
func requestArrived(ctx context.Context) {
	if c, ok := ctx.Value(callContextKey{}).(*callContext); ok {
		c.requestArrived()
	}
}

// callOver records that a call has ended.
func callOver(ctx context.Context) {
	if c, ok := ctx.Value(callContextKey{}).(*callContext); ok {
		c.over()
	}
}

func (c *callContext) Value(key any) any {
	if key == (callContextKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Err decides the status that gRPC sends when it ends the call itself.
func (c *callContext) Err() error {
	if context.Cause(c.Context) == ErrSlowRequest {
		return context.DeadlineExceeded
	}
	return c.Context.Err()
}
