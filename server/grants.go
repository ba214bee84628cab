package server

import (
	"context"
	"encoding/binary"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/sync/semaphore"
)

// A client may send streamWindow of each request ahead. As soon as gRPC has read the head of a
// larger one, it lets the client send all of it, at once, however many there are: a hundred
// halves of 8 MiB are 400 MiB. So the frames that say so, WINDOW_UPDATEs of a stream, are
// withheld here until there is room for the request. What waits for it waits at the client.

// maxUnfinished is how many bytes of large requests a connection may be sending at once.
const maxUnfinished = 16 << 20

// grantingConn is a connection above TLS. gRPC reads from it in one goroutine, and writes to it
// in another.
type grantingConn struct {
	net.Conn
	own, all *semaphore.Weighted // room for requests, of this connection and of the server
	ended    context.Context
	end      context.CancelFunc
	waiting  sync.WaitGroup

	in inbound // of the goroutine that reads

	writing sync.Mutex
	partial []byte // of a frame's head that was not written yet
	left    int    // bytes of a frame that was begun
	late    []byte // frames that follow the one that was begun

	mu     sync.Mutex
	grants map[uint32]*grant // by stream; writing may be held when it is locked, not the other way
}

// grant is the leave to send a large request.
type grant struct {
	size    int64
	isGiven bool
	arrived int64 // bytes since it was asked for, and then since it was given
	cancel  context.CancelFunc
}

func newGrantingConn(inner net.Conn, all *semaphore.Weighted) *grantingConn {
	c := &grantingConn{Conn: inner, own: semaphore.NewWeighted(maxUnfinished), all: all, grants: make(map[uint32]*grant)}
	c.in.skip = len(http2.ClientPreface)
	c.ended, c.end = context.WithCancel(context.Background())
	return c
}

// head is what a frame begins with.
type head [headSize]byte

const headSize = 9

func (h *head) length() int           { return int(h[0])<<16 | int(h[1])<<8 | int(h[2]) }
func (h *head) kind() http2.FrameType { return http2.FrameType(h[3]) }
func (h *head) stream() uint32        { return binary.BigEndian.Uint32(h[5:]) &^ (1 << 31) }

// inbound finds the heads of frames in what is read.
type inbound struct {
	skip int // bytes before the next head
	head head
	have int // bytes of head
}

func (in *inbound) scan(p []byte, each func(*head)) {
	for {
		n := min(in.skip, len(p))
		in.skip -= n
		if p = p[n:]; len(p) == 0 {
			return
		}
		n = copy(in.head[in.have:], p)
		in.have += n
		if p = p[n:]; in.have < headSize {
			return
		}
		in.have, in.skip = 0, in.head.length()
		each(&in.head)
	}
}

func (c *grantingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.in.scan(p[:n], func(h *head) {
		switch h.kind() {
		case http2.FrameData:
			c.arrived(h.stream(), int64(h.length()))
		case http2.FrameRSTStream:
			c.over(h.stream())
		}
	})
	return n, err
}

// arrived counts what arrives of a request. One that has arrived, but for what any may send
// ahead, takes no room any more. A client that does not wait for its grant is cut off.
func (c *grantingConn) arrived(stream uint32, n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	g := c.grants[stream]
	if g == nil {
		return
	}
	g.arrived += n
	switch {
	case g.isGiven && g.arrived >= g.size-streamWindow:
		c.drop(stream, g)
	case !g.isGiven && g.arrived > streamWindow:
		_ = c.Conn.Close()
	}
}

// over gives back the room of a stream's request.
func (c *grantingConn) over(stream uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if g := c.grants[stream]; g != nil {
		c.drop(stream, g)
	}
}

// drop gives back the room of a request, or that it waits for. The caller holds mu.
func (c *grantingConn) drop(stream uint32, g *grant) {
	delete(c.grants, stream)
	if g.cancel != nil {
		g.cancel()
	}
	if g.isGiven {
		c.own.Release(g.size)
		c.all.Release(g.size)
	}
}

// Write writes all but the grants for which there is no room yet.
func (c *grantingConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	data := p
	if len(c.partial) > 0 {
		data = append(c.partial, p...)
	}
	from := 0 // of what is not written yet
	at := min(c.left, len(data))
	c.left -= at
	for len(data)-at >= headSize {
		h := (*head)(data[at:])
		size := headSize + h.length()
		if isGrant := h.kind() == http2.FrameWindowUpdate && h.stream() != 0; isGrant {
			if len(data)-at < size {
				break
			}
			if n := binary.BigEndian.Uint32(data[at+headSize:]); n > streamWindow && !c.grant(h.stream(), int64(n)) {
				if _, err := c.Conn.Write(data[from:at]); err != nil {
					return 0, err
				}
				from = at + size
			}
		} else if h.kind() == http2.FrameRSTStream || h.kind() == http2.FrameHeaders && http2.Flags(h[4]).Has(http2.FlagHeadersEndStream) {
			c.over(h.stream())
		}
		written := min(size, len(data)-at)
		c.left = size - written
		at += written
	}
	_, err := c.Conn.Write(data[from:at])
	c.partial = append([]byte(nil), data[at:]...)
	if err == nil && c.left == 0 && len(c.late) > 0 {
		_, err = c.Conn.Write(c.late)
		c.late = nil
	}
	return len(p), err
}

// grant takes room for a request; when there is none, it has the grant sent as soon as there is.
func (c *grantingConn) grant(stream uint32, size int64) bool {
	c.over(stream) // an earlier request of the stream was read
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended.Err() != nil {
		return true // the connection is gone
	}
	g := &grant{size: size}
	c.grants[stream] = g
	if c.own.TryAcquire(size) {
		if g.isGiven = c.all.TryAcquire(size); g.isGiven {
			return true
		}
		c.own.Release(size)
	}
	var ctx context.Context
	ctx, g.cancel = context.WithCancel(c.ended)
	c.waiting.Go(func() { c.await(ctx, stream, g) })
	return false
}

// await waits for room, and sends the grant.
func (c *grantingConn) await(ctx context.Context, stream uint32, g *grant) {
	if c.own.Acquire(ctx, g.size) != nil {
		return
	}
	if c.all.Acquire(ctx, g.size) != nil {
		c.own.Release(g.size)
		return
	}
	c.mu.Lock()
	isOver := c.grants[stream] != g
	g.isGiven, g.arrived = !isOver, 0
	c.mu.Unlock()
	if isOver {
		c.own.Release(g.size)
		c.all.Release(g.size)
		return
	}
	frame := []byte{0, 0, 4, byte(http2.FrameWindowUpdate), 0}
	frame = binary.BigEndian.AppendUint32(frame, stream)
	frame = binary.BigEndian.AppendUint32(frame, uint32(g.size))
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.left > 0 { // in the middle of a frame, the rest of which follows
		c.late = append(c.late, frame...)
		return
	}
	_, _ = c.Conn.Write(frame) // gRPC finds out
}

func (c *grantingConn) Close() error {
	err := c.Conn.Close()
	c.end()
	c.mu.Lock()
	for stream, g := range c.grants {
		c.drop(stream, g)
	}
	c.mu.Unlock()
	c.waiting.Wait()
	return err
}
