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

// A client above the limit of connections is refused at once with a status, and served as soon
// as another one leaves.
func TestMaxConnections(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*server.Config){
		"in total":         func(c *server.Config) { c.MaxConnections = 2 },
		"from one address": func(c *server.Config) { c.MaxConnectionsPerPeer = 2 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupWithoutTimeouts(t, change)
			list := &argusv1.ListRequest{}
			first, second := b.dialRaw(t).readFrames(), b.dialRaw(t).readFrames()
			second.awaitCode(second.call(listJobs, list), codes.OK)
			_, err := b.state.List(b.ctx, list)
			if w := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !w.retryable {
				t.Error("the error is not retryable")
			}
			for range 50 { // connections within the limit are served
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

// Calls above the limit are refused. Calls that end make room.
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
	if w := wantError(t, err, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY); !w.retryable {
		t.Error("the error is not retryable")
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
