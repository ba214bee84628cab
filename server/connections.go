package server

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// connections are the accepted connections. They are counted, as a whole and by peer address,
// and the ones that do not speak HTTP/2 yet are known: gRPC's shutdown waits for all of those
// before it does anything else, so it is the server that cuts them off.
type connections struct {
	limit, perPeer int
	// stall is how long a peer may take no byte of what is written to it.
	stall time.Duration

	mu        sync.Mutex
	isEnded   bool
	handshake map[*conn]struct{}
	peers     map[string]int
	total     int
	refused   int // connections above a limit that are open, to be refused in words
}

func newConnections(limit, perPeer int, stall time.Duration) *connections {
	return &connections{limit: limit, perPeer: perPeer, stall: stall, handshake: make(map[*conn]struct{}), peers: make(map[string]int)}
}

// maxRefused is how many connections above the limits are answered at once. Others are closed
// without a word.
const maxRefused = 64

// refusedTime is how long a refused connection stays open, for its calls to be answered.
const refusedTime = 2 * time.Second

// admit counts a new connection; nil when it must be closed at once.
func (cs *connections) admit(inner net.Conn) *conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := &conn{Conn: inner, all: cs, peer: peerAddress(inner.RemoteAddr())}
	c.isRefused = cs.total >= cs.limit || cs.peers[c.peer] >= cs.perPeer
	switch {
	case cs.isEnded || c.isRefused && cs.refused >= maxRefused:
		return nil
	case c.isRefused:
		cs.refused++
		c.expiry = time.AfterFunc(refusedTime, func() { _ = c.Close() })
	default:
		cs.total++
		cs.peers[c.peer]++
	}
	cs.handshake[c] = struct{}{}
	return c
}

// release gives up a connection's place.
func (cs *connections) release(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.handshake, c)
	if c.isRefused {
		cs.refused--
		c.expiry.Stop()
		return
	}
	cs.total--
	if cs.peers[c.peer]--; cs.peers[c.peer] == 0 {
		delete(cs.peers, c.peer)
	}
}

// speaks notes that a connection's handshake is over.
func (cs *connections) speaks(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.handshake, c)
}

// end closes the connections without a handshake, and those to come.
func (cs *connections) end() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.isEnded = true
	for c := range cs.handshake {
		_ = c.Conn.Close() // gRPC finds out
	}
}

// peerAddress is what the connections of one host have in common: its address, or its network
// for IPv6, where each host has a whole one.
func peerAddress(addr net.Addr) string {
	at, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return addr.String()
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	network, _ := ip.Prefix(64)
	return network.String()
}

// admittingListener admits the connections that it accepts.
type admittingListener struct {
	net.Listener
	all *connections
}

func (l admittingListener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.admit(inner); c != nil {
			return c, nil
		}
		_ = inner.Close()
	}
}

// conn is an admitted connection. gRPC's writer can wait in Write for ever, and what it should
// write meanwhile, pings included, waits behind it. So a peer that takes nothing is found out
// here, and cut off.
type conn struct {
	net.Conn
	all       *connections
	peer      string
	isRefused bool
	expiry    *time.Timer // of a refused one
	isWriting atomic.Bool
	released  sync.Once
}

// stallTicks is how many times in a row no progress must be seen before a peer is cut off.
// A single look proves nothing: on a busy machine this process may have slept longer than
// the whole time-out, and the peer's bytes be there to be moved.
const stallTicks = 8

// errStalled ends a connection whose peer takes nothing.
var errStalled = errors.New("the peer takes none of what is written to it")

// Write writes as long as the peer takes any of it. Only one goroutine may write.
func (c *conn) Write(p []byte) (n int, err error) {
	c.isWriting.Store(true)
	defer c.isWriting.Store(false)
	for quiet := 0; quiet < stallTicks; quiet++ {
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.all.stall / stallTicks))
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

// SetDeadline bounds what is read; Write has its own deadlines. It also tells the end of the
// handshake: gRPC then takes its deadline off.
func (c *conn) SetDeadline(t time.Time) error {
	if t.IsZero() {
		c.all.speaks(c)
	}
	return c.Conn.SetReadDeadline(t)
}

// Close closes the connection. While a Write waits for the peer, the kernel would go on to
// offer it megabytes for minutes, so then they are discarded.
func (c *conn) Close() error {
	c.released.Do(func() { c.all.release(c) })
	if tcp, ok := c.Conn.(interface{ SetLinger(int) error }); ok && c.isWriting.Load() {
		_ = tcp.SetLinger(0)
	}
	return c.Conn.Close()
}
