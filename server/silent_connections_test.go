package server_test

import (
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server"
)

// A connection that does not speak HTTP/2 is closed, and no longer counts towards the limit.
func TestSilentConnections(t *testing.T) {
	t.Parallel()
	openings := []string{"", http2.ClientPreface[:10], http2.ClientPreface, http2.ClientPreface + "\x00\x00\x06\x04\x00", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"}
	b := setupWithoutTimeouts(t, func(c *server.Config) {
		c.Timeouts().Handshake = 300 * time.Millisecond
		c.MaxConnections = len(openings)
	})
	var all []net.Conn
	for _, opening := range openings {
		conn := b.dial(t)
		if _, err := io.WriteString(conn, opening); err != nil {
			t.Fatal(err)
		}
		all = append(all, conn)
	}
	for i, conn := range all {
		if _, err := io.Copy(io.Discard, conn); err != nil && !isReset(err) {
			t.Errorf("after %q: %v, want the connection closed", openings[i], err)
		}
	}
	b.witness(t)()
}

// isReset is true of a connection that the server closed without reading everything.
func isReset(err error) bool { return strings.Contains(err.Error(), "connection reset") }

// A client that stops in the middle of a frame cannot answer a ping, and is disconnected.
func TestHalfAFrame(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) {
		c.Timeouts().PingAfter, c.Timeouts().PingTimeout = 200*time.Millisecond, 5*time.Second
	})
	raw := b.dialRaw(t).readFrames()
	stop := b.witness(t)
	_, err := raw.open(publish)
	raw.must(0, err)
	raw.must(raw.conn.Write([]byte{0, 1, 0, 0, 0}))
	raw.awaitClose()
	stop()
}

// A connection without a call is closed after a while, which makes room for another one.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) {
		c.Timeouts().Idle = 200 * time.Millisecond
		c.MaxConnections = 2
	})
	var all []*rawClient
	for range 2 {
		raw := b.dialRaw(t).readFrames()
		raw.awaitCode(raw.call(listJobs, &argusv1.ListRequest{}), codes.OK)
		all = append(all, raw)
	}
	for _, raw := range all {
		ping := [8]byte{1, 6, 1, 8, 0, 3, 3, 9} // its answer says that the GOAWAY has arrived
		raw.await("a GOAWAY for the idle connection", func(s seen) bool { return s.goAway == "NO_ERROR max_idle" && slices.Contains(s.pings, ping) })
		raw.must(0, raw.WritePing(true, ping))
	}
	for _, raw := range all {
		raw.awaitClose()
	}
	b.witness(t)()
}
