package server_test

import (
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server"
)

// A client that comes while all places are taken is refused at once, in words, and not held up;
// it is served as soon as one is free.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"in all":           func(c *server.Config) { c.MaxConnections = 2 },
		"from one address": func(c *server.Config) { c.MaxConnectionsPerPeer = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWithoutTimeouts(t, change)
			list := &argusv1.ListRequest{}
			first, second := b.dialRaw(t).readFrames(), b.dialRaw(t).readFrames()
			second.awaitCode(second.call(listJobs, list), codes.OK)
			_, err := b.state.List(b.ctx, list)
			if told := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !told.retryable {
				t.Error("not retryable")
			}
			for range 50 { // those that have a place are served
				first.awaitCode(first.call(listJobs, list), codes.OK)
			}
			_ = second.conn.Close()
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			for err != nil {
				<-tick.C
				_, err = b.state.List(b.ctx, list)
				if code := status.Code(err); code != codes.OK && code != codes.ResourceExhausted && code != codes.Unavailable {
					t.Fatal(err)
				}
			}
		})
	}
}

// More calls than the server may have are refused, and those that are over make room.
func TestMaxCalls(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.MaxCalls = 3 })
	raw := b.dialRaw(t).readFrames()
	stream, err := raw.open(publish) // and no request
	raw.must(0, err)
	waiting := raw.call(watch, &argusv1.WatchRequest{JobId: "job"})
	raw.await("the snapshot", func(s seen) bool { return s.data[waiting] > 0 })
	for range 20 {
		raw.awaitCode(raw.call(listJobs, &argusv1.ListRequest{}), codes.OK)
	}
	last := raw.call(watch, &argusv1.WatchRequest{JobId: "job"})
	raw.await("the snapshot", func(s seen) bool { return s.data[last] > 0 })
	_, err = b.state.List(b.ctx, &argusv1.ListRequest{})
	if told := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !told.retryable {
		t.Error("not retryable")
	}
	raw.must(0, raw.WriteRSTStream(stream, http2.ErrCodeCancel))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for err != nil {
		<-tick.C
		_, err = b.state.List(b.ctx, &argusv1.ListRequest{})
		if code := status.Code(err); code != codes.OK && code != codes.ResourceExhausted {
			t.Fatal(err)
		}
	}
}
