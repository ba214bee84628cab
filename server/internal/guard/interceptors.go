package guard

import (
	"context"

	"google.golang.org/grpc"
)

// trackUnary is the outermost unary interceptor: the request has arrived before it runs, and
// the call is over when it returns.
func trackUnary(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	requestArrived(ctx)
	defer callOver(ctx)
	return handler(ctx, request)
}

// trackStream is the outermost stream interceptor.
func trackStream(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	defer callOver(stream.Context())
	return handler(service, stream)
}

// boundUnary is the innermost unary interceptor. It accounts for the memory of the request
// while the handler runs, and of the response until the client has read it.
func (g *Guard) boundUnary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	done, err := g.holdRequest(request)
	if err != nil {
		return nil, err
	}
	defer done()
	r, err := g.reserveFor(ctx, info.FullMethod)
	if err != nil {
		return nil, err
	}
	isBuilt := false
	defer func() {
		if !isBuilt { // the handler failed or panicked
			r.release()
		}
	}()
	response, err := handler(ctx, request)
	if err != nil {
		return nil, err
	}
	isBuilt = true
	return g.prepare(ctx, response, r, nil)
}

// holdRequest counts a large request, which stays in memory until done is called. It fails with
// ErrBusy when the budget has no room.
func (g *Guard) holdRequest(request any) (done func(), err error) {
	size := int64(messageSize(request))
	switch {
	case size <= StreamWindow:
		return func() {}, nil
	case !g.handled.TryAcquire(size):
		return nil, ErrBusy
	}
	return func() { g.handled.Release(size) }, nil
}

// boundStream is the innermost stream interceptor.
func (g *Guard) boundStream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(service, &boundedStream{ServerStream: stream, guard: g, method: info.FullMethod,
		interruptible: info.IsClientStream && !g.config.ConcurrentReceivers[info.FullMethod]})
}
