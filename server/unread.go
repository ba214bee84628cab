package server

import (
	"context"
	"io"
	"net"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
)

// gRPC keeps an answer until the client has taken it, and a client need not take anything:
// with 1000 small requests it could have the server keep 4 GiB for it. So the large
// answers that a connection has not taken yet are counted, and further ones have to wait.
const (
	maxUnread = 16 << 20 // bytes, per connection
	// smallAnswer is what is not counted: maxStreams bounds it.
	smallAnswer = 16 << 10
)

// unreadCounts gives each connection its count.
type unreadCounts struct {
	credentials.TransportCredentials
	requests *semaphore.Weighted // room for large requests
}

// connection is what is known of a connection.
type connection struct {
	credentials.AuthInfo
	isRefused bool // there are too many; its calls fail
	unread    *semaphore.Weighted
	moved     *atomic.Int64 // counts the pieces of large answers that it has taken
}

func (u unreadCounts) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	accepted, _ := raw.(*conn)
	secured, info, err := u.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		return nil, nil, err
	}
	return newGrantingConn(secured, u.requests), connection{info, accepted != nil && accepted.isRefused, semaphore.NewWeighted(maxUnread), new(atomic.Int64)}, nil
}

func (u unreadCounts) Clone() credentials.TransportCredentials {
	return unreadCounts{u.TransportCredentials.Clone(), u.requests}
}

// toSend checks an answer before it is sent. A large one waits for its place among what
// the client has not taken, as long as the client takes any of that. The pieces of it that
// the client takes are counted in moved too, if that is not nil.
func (s *Server) toSend(ctx context.Context, message any, moved *atomic.Int64) (any, error) {
	size := sizeOf(message)
	if size > maxMessage {
		return nil, errResponseTooLarge
	}
	client, _ := peer.FromContext(ctx)
	if client == nil || size <= smallAnswer {
		return message, nil
	}
	c, ok := client.AuthInfo.(connection)
	if !ok {
		return message, nil
	}
	if err := c.reserve(ctx, int64(size), s.config.SendTimeout); err != nil {
		return nil, err
	}
	count := func() {
		c.moved.Add(1)
		if moved != nil {
			moved.Add(1)
		}
	}
	return &counted{message, count, sync.OnceFunc(func() { c.unread.Release(int64(size)) })}, nil
}

// reserve waits for a place of a size.
func (c connection) reserve(ctx context.Context, size int64, timeout time.Duration) error {
	if c.unread.TryAcquire(size) {
		return nil
	}
	waiting, cancel := context.WithCancel(ctx)
	defer cancel()
	var failed error
	done := make(chan error)
	go func() {
		failed = c.unread.Acquire(waiting, size)
		close(done)
	}()
	err := whileMoving(ctx, done, c.moved, timeout)
	cancel()
	switch <-done; {
	case err == nil:
		return failed
	case failed == nil:
		c.unread.Release(size)
	}
	return err
}

// whileMoving waits until something is done, unless ctx ends, or nothing moves for the
// time-out. That is so when several looks in a row, evenly spread, find nothing new: a single
// one would measure how long this process did not run. In between, those that move things
// have their turn.
func whileMoving(ctx context.Context, done <-chan error, moved *atomic.Int64, timeout time.Duration) error {
	timer := time.NewTimer(timeout / stallTicks)
	defer timer.Stop()
	for quiet, last := 0, moved.Load(); ; {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		timer.Reset(timeout / stallTicks)
		if now := moved.Load(); now != last {
			quiet, last = 0, now
		} else if quiet++; quiet == stallTicks {
			return errSlowReader
		}
	}
}

func sizeOf(message any) int {
	switch m := message.(type) {
	case interface{ SizeVT() int }: // as proto.Size, and faster
		return m.SizeVT()
	case proto.Message:
		return proto.Size(m)
	}
	return 0
}

// counted is an answer that has its place.
type counted struct {
	message any
	moved   func() // a piece of it was taken
	release func() // may be called more than once
}

// pieceSize is how much of an answer must be taken to be seen.
const pieceSize = 32 << 10

// releasingCodec is a codec that notes when gRPC needs a piece of an answer no more: it was
// sent, or the stream was reset. With the last one the answer's place is given back.
type releasingCodec struct{ encoding.CodecV2 }

func (c releasingCodec) Marshal(v any) (mem.BufferSlice, error) {
	answer, ok := v.(*counted)
	if !ok {
		return c.CodecV2.Marshal(v)
	}
	data, err := c.CodecV2.Marshal(answer.message)
	if err != nil {
		answer.release()
		return nil, err
	}
	defer data.Free()
	pool := &releasingPool{BufferPool: mem.DefaultBufferPool(), moved: answer.moved, release: answer.release}
	// gRPC does not always free what it drops when a stream is reset.
	runtime.AddCleanup(pool, func(release func()) { release() }, answer.release)
	reader := data.Reader()
	defer reader.Close()
	pieces := make(mem.BufferSlice, 0, data.Len()/pieceSize+1)
	for left := data.Len(); left > 0; left = reader.Remaining() {
		size := pieceSize
		if left < 2*pieceSize { // gRPC does not pool the smallest buffers, so there are no small ones
			size = left
		}
		buf := pool.Get(size)
		if _, err := io.ReadFull(reader, *buf); err != nil {
			return nil, err
		}
		pieces = append(pieces, mem.NewBuffer(buf, pool))
	}
	pool.left.Store(int64(len(pieces)))
	return pieces, nil
}

// releasingPool is told when a piece of its answer is not needed any more.
type releasingPool struct {
	mem.BufferPool
	moved, release func()
	left           atomic.Int64 // pieces
}

func (p *releasingPool) Put(buf *[]byte) {
	p.BufferPool.Put(buf)
	p.moved()
	if p.left.Add(-1) == 0 {
		p.release()
	}
}
