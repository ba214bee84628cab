package guard

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

// connections counts the accepted connections, in total and by peer address. It also knows the
// ones that do not speak HTTP/2 yet: a graceful stop of gRPC waits for their handshakes before
// anything else, so they are closed here.
type connections struct {
	limit, perPeer int
	stall          time.Duration // see Timeouts.Stall

	mu         sync.Mutex
	closed     bool
	handshakes map[*conn]struct{}
	peers      map[string]int // admitted connections by peer address
	total      int            // admitted connections
	refused    int            // open connections above a limit
}

func newConnections(limit, perPeer int, stall time.Duration) *connections {
	return &connections{limit: limit, perPeer: perPeer, stall: stall, handshakes: make(map[*conn]struct{}), peers: make(map[string]int)}
}

// A connection above a limit is refused: it stays open for refusedTime, so that its calls get
// an answer. At most maxRefused are open; further ones are closed without an answer.
const (
	maxRefused  = 64
	refusedTime = 2 * time.Second
)

// admit counts a new connection and marks it as refused if it is above a limit. It returns nil
// for a connection that must be closed at once.
func (cs *connections) admit(inner net.Conn) *conn {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	c := &conn{Conn: inner, all: cs, peer: peerAddress(inner.RemoteAddr())}
	c.refused = cs.total >= cs.limit || cs.peers[c.peer] >= cs.perPeer
	switch {
	case cs.closed || c.refused && cs.refused >= maxRefused:
		return nil
	case c.refused:
		cs.refused++
		c.expiry = time.AfterFunc(refusedTime, func() { _ = c.Close() })
	default:
		cs.total++
		cs.peers[c.peer]++
	}
	cs.handshakes[c] = struct{}{}
	return c
}

// remove stops counting a connection.
func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.handshakes, c)
	if c.refused {
		cs.refused--
		c.expiry.Stop()
		return
	}
	cs.total--
	if cs.peers[c.peer]--; cs.peers[c.peer] == 0 {
		delete(cs.peers, c.peer)
	}
}

// handshakeDone records that a connection speaks HTTP/2.
func (cs *connections) handshakeDone(c *conn) {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	delete(cs.handshakes, c)
}

// closeHandshakes closes the connections without a handshake and admits no others.
func (cs *connections) closeHandshakes() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.closed = true
	for c := range cs.handshakes {
		_ = c.Conn.Close() // gRPC's next read fails and closes c
	}
}

// peerAddress is the key under which the connections of one host are counted: its IPv4
// address, or its /64 network, because an IPv6 host owns a whole one.
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

// admittingListener accepts connections within the limits and closes the others.
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
