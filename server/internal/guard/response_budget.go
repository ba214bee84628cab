package guard

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// gRPC keeps a response until the client has read it, and a client need not read: by 1000 small
// requests it could make the server keep 4 GiB. So the large responses that a connection has
// not read count towards its budget, MaxUnreadBytes, and further ones wait.

// reservation is a response's share of its connection's budget. The zero value holds none.
type reservation struct {
	conn *connState
	size int64
}

// reserveFor reserves room for the response of a method, if it can be large.
func (g *Guard) reserveFor(ctx context.Context, method string) (r reservation, err error) {
	client, _ := peer.FromContext(ctx)
	if client == nil {
		return r, nil
	}
	r.conn, _ = client.AuthInfo.(*connState)
	if size := g.config.LargeResponses[method]; r.conn != nil && size > 0 {
		err = r.resize(ctx, size, g.config.Timeouts.Send)
	}
	return r, err
}

// resize changes the reservation to the size of the response. To grow it may wait, for as long
// as the client reads any of its responses; see waitWhileProgressing for the errors.
func (r *reservation) resize(ctx context.Context, size int64, timeout time.Duration) error {
	if r.conn == nil {
		return nil
	}
	if size > r.size {
		if err := r.conn.reserve(ctx, size-r.size, timeout); err != nil {
			return err
		}
	} else {
		r.conn.unread.Release(r.size - size)
	}
	r.size = size
	return nil
}

// release returns the reservation to the budget.
func (r *reservation) release() { _ = r.resize(context.Background(), 0, 0) }

// reserve takes n bytes of the budget, and waits for them while the client reads.
func (c *connState) reserve(ctx context.Context, n int64, timeout time.Duration) error {
	if c.unread.TryAcquire(n) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var acquireErr error
	done := make(chan error)
	go func() {
		acquireErr = c.unread.Acquire(waiting, n)
		close(done)
	}()
	err := waitWhileProgressing(ctx, done, &c.progress, timeout)
	cancel()
	switch <-done; {
	case err == nil:
		return acquireErr
	case acquireErr == nil: // acquired after the wait was given up
		c.unread.Release(n)
	}
	return err
}

// prepare checks a response before it is sent and takes over its reservation. A large response
// keeps what it needs of it until it is sent: prepare then returns a reservedResponse. Each
// chunk of it that is sent counts in progress too, unless that is nil.
func (g *Guard) prepare(ctx context.Context, response any, r reservation, progress *atomic.Int64) (any, error) {
	size := messageSize(response)
	switch {
	case size > MaxResponseBytes:
		r.release()
		return nil, ErrResponseTooLarge
	case size <= smallResponse || r.conn == nil:
		r.release()
		return response, nil
	}
	if err := r.resize(ctx, int64(size), g.config.Timeouts.Send); err != nil {
		r.release()
		return nil, err
	}
	chunkSent := func() {
		r.conn.progress.Add(1)
		if progress != nil {
			progress.Add(1)
		}
	}
	return &reservedResponse{response, chunkSent, sync.OnceFunc(r.release)}, nil
}

// messageSize is that of an encoded message.
func messageSize(message any) int {
	switch m := message.(type) {
	case interface{ SizeVT() int }: // the same as proto.Size, and faster
		return m.SizeVT()
	case proto.Message:
		return proto.Size(m)
	}
	return 0
}
