package guard

import (
	"context"
	"net"
	"sync"

	"golang.org/x/net/http2"
	"golang.org/x/sync/semaphore"
)

// windowConn withholds window updates. A client may send StreamWindow of a request before the
// server reads it. As soon as gRPC has read the head of a larger request, it lets the client
// send all of it, however many such requests there are: a hundred halves of 8 MiB are 400 MiB.
// The frames that say so, WINDOW_UPDATEs of a stream, are withheld here until the budgets have
// room for the request, which meanwhile waits at the client.
//
// It sits above TLS. gRPC reads in one goroutine and writes in another.
type windowConn struct {
	net.Conn
	connBudget, serverBudget *semaphore.Weighted // bytes of requests, see MaxArrivingBytes and Limits.RequestBytes

	closed  context.Context
	close   context.CancelFunc
	waiting sync.WaitGroup // goroutines that wait for the budgets

	inbound frameScanner // owned by the reading goroutine

	writing sync.Mutex
	out     outbound

	mu     sync.Mutex // may be locked while writing is held, not the other way round
	grants map[uint32]*grant
}

// outbound is how far the frames are written. windowConn.writing guards it.
type outbound struct {
	partial  []byte // the part of a frame that is held back until the rest of its header, or of a window update, follows
	rest     int    // bytes of the current frame that gRPC has still to write
	deferred []byte // window updates that follow the current frame
}

// grant lets a client send one large request. It belongs to a stream.
type grant struct {
	size    int64
	granted bool               // the budgets have room; the window update is sent
	arrived int64              // bytes since the request for the grant, or since it was granted
	cancel  context.CancelFunc // ends the wait for the budgets; nil if there was none
}

func newWindowConn(inner net.Conn, serverBudget *semaphore.Weighted) *windowConn {
	c := &windowConn{Conn: inner, connBudget: semaphore.NewWeighted(MaxArrivingBytes), serverBudget: serverBudget, grants: make(map[uint32]*grant)}
	c.inbound.skip = len(http2.ClientPreface)
	c.closed, c.close = context.WithCancel(context.Background())
	return c
}

func (c *windowConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.inbound.scan(p[:n], func(h *frameHeader) {
		switch h.kind() {
		case http2.FrameData:
			c.dataArrived(h.stream(), int64(h.length()))
		case http2.FrameRSTStream:
			c.dropGrant(h.stream())
		}
	})
	return n, err
}

// Write writes p, except for the window updates that the budgets have no room for.
func (c *windowConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	data := p
	if len(c.out.partial) > 0 {
		data = append(c.out.partial, p...)
	}
	unwritten := 0 // start of what is still to be written
	at := min(c.out.rest, len(data))
	c.out.rest -= at
	for len(data)-at >= frameHeaderSize {
		h := (*frameHeader)(data[at:])
		isWindowUpdate := h.kind() == http2.FrameWindowUpdate && h.stream() != 0
		switch {
		case isWindowUpdate && len(data)-at < h.size():
			return len(p), c.flush(data, unwritten, at)
		case isWindowUpdate:
			if n := increment(data[at:]); n > StreamWindow && !c.grant(h.stream(), int64(n)) {
				if _, err := c.Conn.Write(data[unwritten:at]); err != nil {
					return 0, err
				}
				unwritten = at + h.size()
			}
		case h.endsStream():
			c.dropGrant(h.stream())
		}
		written := min(h.size(), len(data)-at)
		c.out.rest = h.size() - written
		at += written
	}
	return len(p), c.flush(data, unwritten, at)
}

// flush writes data[from:to], keeps what follows as partial, and writes the deferred frames
// when no frame is incomplete.
func (c *windowConn) flush(data []byte, from, to int) error {
	_, err := c.Conn.Write(data[from:to])
	c.out.partial = append([]byte(nil), data[to:]...)
	if err == nil && c.out.rest == 0 && len(c.out.deferred) > 0 {
		_, err = c.Conn.Write(c.out.deferred)
		c.out.deferred = nil
	}
	return err
}

// sendWindowUpdate writes a window update between the frames of gRPC.
func (c *windowConn) sendWindowUpdate(stream uint32, size int64) {
	frame := windowUpdate(stream, uint32(size))
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.out.rest > 0 {
		c.out.deferred = append(c.out.deferred, frame...)
		return
	}
	_, _ = c.Conn.Write(frame) // gRPC's next write fails as well
}

// Close closes the connection, returns what it has of the server's budget, and waits for its
// goroutines.
func (c *windowConn) Close() error {
	err := c.Conn.Close()
	c.close()
	c.mu.Lock()
	for stream, g := range c.grants {
		c.drop(stream, g)
	}
	c.mu.Unlock()
	c.waiting.Wait()
	return err
}
