package guard

import "time"

// Limits of a connection and a message. gRPC's own defaults are unsafe in most places.
const (
	// MaxResponseBytes bounds a response: the size that clients accept by default.
	MaxResponseBytes = 4 << 20
	// MaxRequestBytes bounds a request. It exceeds what any field may hold, so that the error
	// names the field that is too large.
	MaxRequestBytes = 8 << 20
	// MaxStreams bounds the concurrent calls of a connection. With StreamWindow for each and
	// MaxArrivingBytes, a connection holds less than 64 MiB of incomplete requests.
	MaxStreams = 750
	// StreamWindow is how much of a request a client may send before the server reads it. With
	// a fixed window gRPC doesn't estimate one: its estimate takes a ping for each request,
	// which costs as much as a small request, and grows to 16 MiB for every stream. gRPC
	// accepts no window below 64 KiB.
	StreamWindow = 64 << 10
	// MaxArrivingBytes bounds the large requests that a connection sends at the same time.
	MaxArrivingBytes = 16 << 20
	// MaxUnreadBytes bounds the large responses that a connection has not read yet.
	MaxUnreadBytes = 16 << 20

	maxHeaderBytes = 16 << 10
	connWindow     = 1 << 20
	// smallResponse is not counted towards MaxUnreadBytes: MaxStreams bounds the small ones.
	smallResponse = 16 << 10
)

// Limits bound what all clients of a server have together.
type Limits struct {
	Connections        int
	ConnectionsPerPeer int // from one address, or one IPv6 network
	Calls              int // open calls, streams among them
	// RequestBytes bounds the requests above StreamWindow, in bytes: this much may be on its
	// way to the server, and as much again may be held by running calls.
	RequestBytes int
}

// Timeouts bound how long a client may take.
type Timeouts struct {
	// Handshake is how long a new connection may take until it speaks HTTP/2.
	Handshake time.Duration
	// Request is how long the first request of a call may take to arrive.
	Request time.Duration
	// Idle is how long a connection without a call counts towards Limits.Connections; then it
	// is closed.
	Idle time.Duration
	// A connection is closed at Age, so that clients find new servers. Its calls get AgeGrace
	// more.
	Age, AgeGrace time.Duration
	// PingAfter is the silence after which the server pings a client, PingTimeout how long the
	// answer may take.
	PingAfter, PingTimeout time.Duration
	// MinPing is the shortest interval between pings of a client.
	MinPing time.Duration
	// Stall is how long a connection may take no byte of what is written to it.
	Stall time.Duration
	// Send is how long a client may read nothing of its stream or of large responses while
	// more waits to be sent.
	Send time.Duration
}

// DefaultTimeouts suit clients across a wide area network. Many clients ping every 10 s, and a
// network delivers some of these pings closer together; MinPing allows for that.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		Handshake: 10 * time.Second, Request: 30 * time.Second, Idle: 5 * time.Minute,
		Age: 30 * time.Minute, AgeGrace: time.Minute,
		PingAfter: 20 * time.Second, PingTimeout: 10 * time.Second, MinPing: 5 * time.Second,
		Stall: 20 * time.Second, Send: 8 * time.Second,
	}
}
