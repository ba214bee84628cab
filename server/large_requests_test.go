package server_test

import (
	"fmt"
	"testing"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

const largeRequest = guard.MaxRequestBytes - 1<<10

// openLarge begins a request of largeRequest bytes, which are no valid message.
func (raw *rawClient) openLarge() (stream uint32) {
	raw.t.Helper()
	stream, err := raw.open(publish)
	raw.must(0, err)
	raw.must(0, raw.WriteData(stream, false, framed(0, largeRequest, make([]byte, 1<<10))))
	return stream
}

// openManyLarge begins more large requests than any limit allows.
func (raw *rawClient) openManyLarge() {
	raw.t.Helper()
	for range 100 {
		raw.openLarge()
	}
}

// granted returns the streams whose window allows a large request.
func (s seen) granted() (streams []uint32) {
	for stream, n := range s.windows {
		if stream != 0 && n >= largeRequest {
			streams = append(streams, stream)
		}
	}
	return streams
}

// awaitGrants waits until a number of large requests may be sent. More fail the test.
func (raw *rawClient) awaitGrants(want int) (granted []uint32) {
	raw.t.Helper()
	raw.await(fmt.Sprint(want, " grants"), func(s seen) bool {
		granted = s.granted()
		return len(granted) >= want
	})
	if len(granted) > want {
		raw.t.Fatalf("%d large requests may be sent, want %d", len(granted), want)
	}
	return granted
}

// A client that begins many large requests may continue with a few of them, and with another one
// when one has arrived or is reset.
func TestLargeRequestsOfAConnectionTakeTurns(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	raw := b.dialRaw(t).readFrames()
	raw.openManyLarge()
	const concurrent = guard.MaxArrivingBytes / largeRequest
	granted := raw.awaitGrants(concurrent)
	raw.must(0, raw.WriteRSTStream(granted[0], http2.ErrCodeCancel))
	raw.awaitGrants(concurrent + 1)
	raw.writeAll(granted[1], make([]byte, largeRequest-1<<10))
	raw.awaitCode(granted[1], codes.Internal) // the whole request has arrived
	raw.awaitGrants(concurrent + 2)
	stop()
}

// Large requests share the limit of the server. A connection returns its share when it closes.
func TestLargeRequestsOfAllConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.MaxRequestBytes = 3 * guard.MaxRequestBytes })
	stop := b.witness(t)
	const perConnection = guard.MaxArrivingBytes / largeRequest
	first, second := b.dialRaw(t).readFrames(), b.dialRaw(t).readFrames()
	first.openManyLarge()
	first.awaitGrants(perConnection)
	second.openManyLarge()
	second.awaitGrants(3 - perConnection)
	first.awaitGrants(perConnection)
	_ = first.conn.Close()
	second.awaitGrants(perConnection)
	stop()
}

func TestClientThatSendsWithoutAGrantIsDisconnected(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.MaxRequestBytes = 1 << 20 })
	stop := b.witness(t)
	raw := b.dialRaw(t).readFrames()
	stream := raw.openLarge()
	for range 50 { // meanwhile gRPC reads the head of the request
		raw.awaitCode(raw.call(listJobs, &argusv1.ListRequest{}), codes.OK)
	}
	var err error
	for sent := 0; err == nil && sent < 4*guard.StreamWindow; sent += 16 << 10 {
		err = raw.WriteData(stream, false, make([]byte, 16<<10))
	}
	// If gRPC has not read the head yet, it resets the stream.
	raw.await("the end of the connection or of the stream", func(s seen) bool { return s.ended != nil || s.resets[stream] == http2.ErrCodeFlowControl })
	stop()
}
