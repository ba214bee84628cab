package guard

import (
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// conn is an admitted connection. It closes itself when its peer stalls: gRPC's writer would
// block in Write for ever, and everything else that it has to write, pings included, would wait
// behind it.
type conn struct {
	net.Conn
	all     *connections
	peer    string
	refused bool        // above a limit: its calls fail
	expiry  *time.Timer // closes a refused connection
	writing atomic.Bool
	removed sync.Once
}

// errStalled ends a connection whose peer does not read.
var errStalled = errors.New("the peer reads nothing of what is written to it")

// Write blocks for as long as the peer reads any of it now and then. Only one goroutine may
// write at a time. The stall time-out is divided into stallChecks: see there.
func (c *conn) Write(p []byte) (n int, err error) {
	c.writing.Store(true)
	defer c.writing.Store(false)
	for quiet := 0; quiet < stallChecks; quiet++ {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.all.stall / stallChecks))
		written, err := c.Conn.Write(p[n:])
		n += written
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err
		}
		if written > 0 {
			quiet = -1
		}
	}
	_ = c.Close()
	return n, errStalled
}

// SetDeadline bounds reads only; Write sets its own deadlines. gRPC clears the deadline at the
// end of the handshake, which is how that end is recognized.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.all.handshakeDone(c)
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection. If a Write is blocked, it discards the kernel's send buffer,
// which may hold megabytes that the kernel would continue to offer to the peer for minutes.
func (c *conn) Close() error {
	c.removed.Do(func() { c.all.remove(c) })
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok && c.writing.Load() {
		_ = tcp.SetLinger(0)
	}
	return c.Conn.Close()
}
