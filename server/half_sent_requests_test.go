package server_test

import (
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// A call ends when its request does not arrive in time, even if a byte arrives now and then.
func TestHalfSentRequests(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.Timeouts().Request = timeout })
	stop := b.witness(t)
	// The time-out is not for calls whose request has arrived: neither a long poll, nor a stream
	// whose client is silent.
	worker := b.consume(t, "w", 1)
	read := make(chan error, 1)
	go func() {
		_, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Queue: "other", Consumer: "w", Wait: durationpb.New(4 * timeout)})
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
	trickle := time.NewTicker(10 * time.Millisecond)
	defer trickle.Stop()
	drip := streams[len(streams)-1]
	raw.await("the end of all calls", func(s seen) bool {
		select {
		case <-trickle.C:
			raw.must(0, raw.WriteData(drip, false, []byte("x")))
		default:
		}
		return len(s.codes) == len(streams)
	})
	for _, stream := range streams {
		raw.awaitCode(stream, codes.DeadlineExceeded)
	}
	if err := <-read; err != nil {
		t.Errorf("a call whose request had arrived: %v, want no error", err)
	}
	b.publish(t, "job")
	worker.deliveries(1)
	stop()
}
