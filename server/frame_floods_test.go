package server_test

import (
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

func TestPingFlood(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	raw := b.dialRaw(t).readFrames()
	var err error
	for n := 0; err == nil; n++ {
		if err = raw.WritePing(false, [8]byte{}); n > 1_000_000 {
			t.Fatal("the server took a million pings")
		}
	}
	raw.awaitClose()
	if raw.seen.goAway != "ENHANCE_YOUR_CALM too_many_pings" {
		t.Errorf("GOAWAY %q, want too_many_pings", raw.seen.goAway)
	}
	stop()
}

// A client that pings at the allowed rate stays connected, even without a call.
func TestPingsAtTheAllowedRate(t *testing.T) {
	t.Parallel()
	// Many clients ping every 10 s, and a network delivers pings closer together than they were sent.
	if guard.DefaultTimeouts().MinPing > 7*time.Second {
		t.Errorf("clients may ping every %s only, want 7s at most", guard.DefaultTimeouts().MinPing)
	}
	const often = 20 * time.Millisecond
	b := setupServer(t, redistest.Embedded(t), job.Settings{}, func(c *server.Config) { c.Timeouts().MinPing = often })
	raw := b.dialRaw(t).readFrames()
	for i := range 10 {
		raw.must(0, raw.WritePing(false, [8]byte{}))
		raw.await("the answer to a ping", func(s seen) bool { return s.pongs > i })
		<-time.After(often) // after the server has taken the last one
	}
	raw.awaitCode(raw.call(listJobs, &argusv1.ListRequest{}), codes.OK)
}

// Many frames without effect do not harm the connection.
func TestFloodsOfFramesWithoutEffect(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t))
	stop := b.witness(t)
	t.Cleanup(stop)
	for name, write := range map[string]func(raw *rawClient, stream uint32) error{
		"SETTINGS":       func(raw *rawClient, _ uint32) error { return raw.WriteSettings() },
		"empty DATA":     func(raw *rawClient, stream uint32) error { return raw.WriteData(stream, false, nil) },
		"stray DATA":     func(raw *rawClient, _ uint32) error { return raw.WriteData(999, false, nil) },
		"WINDOW_UPDATE":  func(raw *rawClient, stream uint32) error { return raw.WriteWindowUpdate(stream, 1) },
		"unknown frames": func(raw *rawClient, _ uint32) error { return raw.WriteRawFrame(0xee, 0, 0, make([]byte, 100)) },
		"stray resets":   func(raw *rawClient, _ uint32) error { return raw.WriteRSTStream(999, http2.ErrCodeCancel) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			raw := b.dialRaw(t).readFrames()
			stream, err := raw.open(listJobs)
			raw.must(0, err)
			for range 20_000 {
				raw.must(0, write(raw, stream))
			}
			// The connection still works.
			raw.must(0, raw.WriteData(stream, true, framed(0, 0, nil)))
			raw.awaitCode(stream, codes.OK)
		})
	}
}
