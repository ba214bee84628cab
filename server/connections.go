package server

import (
	"net"
	"sync"
	"time"
)

// handshakes are the connections that do not speak HTTP/2 yet. gRPC's shutdown waits for
// all of them before it does anything else, so it is the server that cuts them off.
type handshakes struct {
	mu      sync.Mutex
	conns   map[*handshake]struct{}
	isEnded bool
}

// end closes the connections, and those to come.
func (h *handshakes) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.isEnded = true
	for c := range h.conns {
		_ = c.Conn.Close()
	}
}

func (h *handshakes) add(c *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.isEnded {
		_ = c.Conn.Close() // gRPC finds out
		return
	}
	if h.conns == nil {
		h.conns = make(map[*handshake]struct{})
	}
	h.conns[c] = struct{}{}
}

func (h *handshakes) remove(c *handshake) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.conns, c)
}

// handshakeListener notes the connections that it accepts.
type handshakeListener struct {
	net.Listener
	all *handshakes
}

func (l handshakeListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &handshake{conn, l.all}
	l.all.add(c)
	return c, nil
}

// handshake is a connection that begins with one.
type handshake struct {
	net.Conn
	all *handshakes
}

// SetDeadline also tells the end of the handshake: gRPC then takes its deadline off.
func (c *handshake) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.all.remove(c)
	}
	return c.Conn.SetDeadline(t)
}

func (c *handshake) Close() error {
	c.all.remove(c)
	return c.Conn.Close()
}
