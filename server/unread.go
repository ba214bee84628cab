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

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
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

// largeAnswers is how large the answers of some methods can be. They take their places before
// their handlers run, and give back what they did not need: else a thousand calls would each
// build an answer, and only then wait. Read and Await are not here: they wait for long, and
// for little.
var largeAnswers = map[string]int64{
	argusv1.JobState_GetAll_FullMethodName:       maxMessage,
	argusv1.JobState_GetField_FullMethodName:     1 << 20,
	argusv1.Admin_ListDeadLetters_FullMethodName: maxMessage,
	argusv1.Admin_ListPending_FullMethodName:     1 << 20,
	argusv1.Admin_GetJob_FullMethodName:          maxMessage,
	argusv1.Admin_ListTasks_FullMethodName:       maxMessage,
	argusv1.Admin_ListQueues_FullMethodName:      maxMessage,
}

// place is what an answer takes of its connection's room; the zero value takes none.
type place struct {
	connection connection
	size       int64
}

// placeFor takes a place for the answer of a method, if it can be large.
func (s *Server) placeFor(ctx context.Context, method string) (p place, err error) {
	client, _ := peer.FromContext(ctx)
	if client == nil {
		return p, nil
	}
	p.connection, _ = client.AuthInfo.(connection)
	if p.connection.unread != nil && largeAnswers[method] > 0 {
		err = p.resize(ctx, largeAnswers[method], s.config.SendTimeout)
	}
	return p, err
}

// resize makes the place as large as the answer is. To make it larger it waits, as long as the
// client takes any of what it has been sent.
func (p *place) resize(ctx context.Context, size int64, timeout time.Duration) error {
	if p.connection.unread == nil {
		return nil
	}
	if size > p.size {
		if err := p.connection.reserve(ctx, size-p.size, timeout); err != nil {
			return err
		}
	} else {
		p.connection.unread.Release(p.size - size)
	}
	p.size = size
	return nil
}

// release gives the place back.
func (p *place) release() { _ = p.resize(context.Background(), 0, 0) }

// toSend checks an answer before it is sent. A large one gets its place among what the client
// has not taken. The pieces of it that the client takes are counted in moved too, if that is
// not nil.
func (s *Server) toSend(ctx context.Context, message any, p place, moved *atomic.Int64) (any, error) {
	size := sizeOf(message)
	if size > maxMessage {
		p.release()
		return nil, errResponseTooLarge
	}
	if size <= smallAnswer || p.connection.unread == nil {
		p.release()
		return message, nil
	}
	if err := p.resize(ctx, int64(size), s.config.SendTimeout); err != nil {
		p.release()
		return nil, err
	}
	count := func() {
		p.connection.moved.Add(1)
		if moved != nil {
			moved.Add(1)
		}
	}
	return &counted{message, count, sync.OnceFunc(p.release)}, nil
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

// releasingPool gets each piece of its answer back when gRPC no longer needs it.
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
