package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// lifecycle ends what waits when the server shuts down.
type lifecycle struct {
	serving  context.Context // ends when the shutdown begins
	shutDown context.CancelFunc
}

func newLifecycle() *lifecycle {
	l := &lifecycle{}
	l.serving, l.shutDown = context.WithCancel(context.Background())
	return l
}

// bind returns a call's context that also ends, with errShuttingDown as its cause, when the
// server shuts down. Call the returned function when the call no longer needs it.
func (l *lifecycle) bind(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(l.serving, func() { cancel(errShuttingDown) })
	return ctx, func() {
		stop()
		cancel(context.Canceled)
	}
}

// withCause replaces an error that says only that ctx ended by the server's reason for that, if
// it has one. The client's own cancellation stays one.
func withCause(ctx context.Context, err error) error {
	isEnd := errors.Is(err, context.Canceled) || status.Code(err) == codes.Canceled
	cause := context.Cause(ctx)
	if isEnd && (errors.Is(cause, errShuttingDown) || errors.Is(cause, guard.ErrSlowRequest)) {
		return cause
	}
	return err
}
