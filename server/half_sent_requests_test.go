package server_test

import (
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// A request that does not arrive ends its call, however much of it comes bit by bit.
func TestHalfSentRequests(t *testing.T) {
	t.Parallel()
	const patience = 2 * time.Second
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.Timeouts().Request = patience })
	stop := b.witness(t)
	// What has arrived is not in a hurry: neither a call that waits, nor a stream that has
	// nothing to say.
	worker := b.consume(t, "w", 1)
	read := make(chan error, 1)
	go func() {
		_, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Queue: "other", Consumer: "w", Wait: durationpb.New(4 * patience)})
		read <- err
	}()
	raw := b.dialRaw(t).readFrames()
	var streams []uint32
	for _, method := range []string{publish, watch, consume, "/argus.v1.Completion/WatchMany", "/grpc.health.v1.Health/Check"} {
		for _, part := range [][]byte{nil, {0}, framed(0, 0, nil)[:4], framed(0, guard.MaxRequestBytes, []byte("x"))} {
			stream, err := raw.open(method)
			raw.must(0, err)
			raw.must(0, raw.WriteData(stream, false, part))
			streams = append(streams, stream)
		}
	}
	bits := time.NewTicker(10 * time.Millisecond)
	defer bits.Stop()
	drip := streams[len(streams)-1]
	raw.await("the end of all calls", func(s seen) bool {
		select {
		case <-bits.C:
			raw.must(0, raw.WriteData(drip, false, []byte("x")))
		default:
		}
		return len(s.codes) == len(streams)
	})
	for _, stream := range streams {
		raw.awaitCode(stream, codes.DeadlineExceeded)
	}
	if err := <-read; err != nil {
		t.Error("a call whose request had arrived:", err)
	}
	b.publish(t, "job")
	worker.deliveries(1)
	stop()
}

// granted are the streams that may send a request of a size.
func (raw *rawClient) granted(size int) (streams []uint32) {
	raw.mu.Lock()
	defer raw.mu.Unlock()
	for stream, n := range raw.seen.windows {
		if stream != 0 && n >= size {
			streams = append(streams, stream)
		}
	}
	return streams
}

// A client that begins many large requests may go on with a few of them, and with the next as
// soon as one has arrived or is given up. However many clients do so, the server has a bound.
func TestHalfSentLargeRequests(t *testing.T) {
	t.Parallel()
	const size = guard.MaxRequestBytes - 1<<10
	message := make([]byte, size) // which is no protobuf
	half := func(raw *rawClient) uint32 {
		stream, err := raw.open(publish)
		raw.must(0, err)
		raw.must(0, raw.WriteData(stream, false, framed(0, size, message[:1<<10])))
		return stream
	}
	begin := func(raw *rawClient) {
		for range 100 {
			half(raw)
		}
	}
	awaitGrants := func(t *testing.T, want int, all ...*rawClient) (granted []uint32) {
		t.Helper()
		for {
			n := 0
			all[0].mu.Lock()
			fresh := all[0].fresh
			all[0].mu.Unlock()
			for _, raw := range all {
				granted = raw.granted(size)
				n += len(granted)
			}
			switch {
			case n > want:
				t.Fatalf("%d large requests may be sent, want %d", n, want)
			case n == want:
				return granted
			}
			select {
			case <-fresh:
			case <-time.After(10 * time.Millisecond): // another one's
			case <-all[0].b.ctx.Done():
				t.Fatalf("%d large requests may be sent, want %d", n, want)
			}
		}
	}
	t.Run("on a connection", func(t *testing.T) {
		t.Parallel()
		b := setup(t, redistest.Embedded(t))
		stop := b.witness(t)
		raw := b.dialRaw(t).readFrames()
		begin(raw)
		const atOnce = guard.MaxArrivingBytes / size
		granted := awaitGrants(t, atOnce, raw)
		raw.must(0, raw.WriteRSTStream(granted[0], http2.ErrCodeCancel))
		awaitGrants(t, atOnce+1, raw)
		for rest := message[1<<10:]; len(rest) > 0; { // as much as the connection's window allows
			n := min(len(rest), 16<<10)
			raw.must(0, raw.WriteData(granted[1], n == len(rest), rest[:n]))
			rest = rest[n:]
		}
		raw.awaitCode(granted[1], codes.Internal) // it has arrived
		awaitGrants(t, atOnce+2, raw)
		stop()
	})
	t.Run("on all", func(t *testing.T) {
		t.Parallel()
		b := setupWithoutTimeouts(t, func(c *server.Config) { c.MaxRequestBytes = 3 * guard.MaxRequestBytes })
		stop := b.witness(t)
		first, second := b.dialRaw(t).readFrames(), b.dialRaw(t).readFrames()
		begin(first)
		awaitGrants(t, guard.MaxArrivingBytes/size, first) // as many as one connection may have
		begin(second)
		awaitGrants(t, 3-guard.MaxArrivingBytes/size, second) // as many as are left
		_ = first.conn.Close()                                // what it had is free
		awaitGrants(t, guard.MaxArrivingBytes/size, second)
		stop()
	})
	t.Run("without leave", func(t *testing.T) {
		t.Parallel()
		b := setupWithoutTimeouts(t, func(c *server.Config) { c.MaxRequestBytes = 1 << 20 })
		stop := b.witness(t)
		raw := b.dialRaw(t).readFrames()
		stream := half(raw)
		for range 50 { // meanwhile the server has read the head
			raw.awaitCode(raw.call(listJobs, &argusv1.ListRequest{}), codes.OK)
		}
		var err error
		for sent := 0; err == nil && sent < 4*guard.StreamWindow; sent += 16 << 10 {
			err = raw.WriteData(stream, false, message[:16<<10])
		}
		// gRPC resets a stream whose head it had not read yet.
		raw.await("the end", func(s seen) bool { return s.ended != nil || s.resets[stream] == http2.ErrCodeFlowControl })
		stop()
	})
}
