package server

import (
	"context"
	"net"
	"runtime"
	"sync"

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
}

// connection is what is known of a connection.
type connection struct {
	credentials.AuthInfo
	unread *semaphore.Weighted
}

func (u unreadCounts) ServerHandshake(conn net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := u.TransportCredentials.ServerHandshake(conn)
	return conn, connection{info, semaphore.NewWeighted(maxUnread)}, err
}

func (u unreadCounts) Clone() credentials.TransportCredentials {
	return unreadCounts{u.TransportCredentials.Clone()}
}

// toSend checks an answer before it is sent. A large one waits for its place among what
// the client has not taken, but not beyond the send time-out.
func (s *Server) toSend(ctx context.Context, message any) (any, error) {
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
	if !c.unread.TryAcquire(int64(size)) {
		waiting, cancel := context.WithTimeoutCause(ctx, s.config.SendTimeout, errSlowReader)
		defer cancel()
		if c.unread.Acquire(waiting, int64(size)) != nil {
			return nil, context.Cause(waiting)
		}
	}
	return &counted{message, sync.OnceFunc(func() { c.unread.Release(int64(size)) })}, nil
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
	release func() // may be called more than once
}

// releasingCodec is a codec that gives a place back when gRPC needs the answer's bytes no
// more: they were sent, or the stream was reset.
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
	pool := &releasingPool{mem.DefaultBufferPool(), answer.release}
	// gRPC does not always free what it drops when a stream is reset.
	runtime.AddCleanup(pool, func(release func()) { release() }, answer.release)
	buf := pool.Get(data.Len())
	data.CopyTo(*buf)
	return mem.BufferSlice{mem.NewBuffer(buf, pool)}, nil
}

// releasingPool is told when its one buffer is not needed any more.
type releasingPool struct {
	mem.BufferPool
	release func()
}

func (p *releasingPool) Put(buf *[]byte) {
	p.BufferPool.Put(buf)
	p.release()
}
