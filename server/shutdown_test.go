package server_test

import (
	"context"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

func TestShutdownEndsWhatWaits(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		watch, err := b.done.Watch(b.ctx, &argusv1.WatchRequest{JobId: "job"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := watch.Recv(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 2)
		go func() {
			r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w", Wait: durationpb.New(30 * time.Second)})
			if len(r.GetDeliveries()) != 0 {
				t.Errorf("Read during the shutdown: %v, want no deliveries", r)
			}
			ended <- err
		}()
		go func() {
			r, err := b.done.Await(b.ctx, &argusv1.AwaitRequest{JobId: "job", Wait: durationpb.New(30 * time.Second)})
			if r.GetDone() {
				t.Errorf("Await during the shutdown: %v, want it not done", r)
			}
			ended <- err
		}()
		go b.shutdown()
		_, err = watch.Recv()
		if w := wantError(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN); !w.retryable {
			t.Error("not retryable")
		}
		for range 2 {
			// A call that arrives after the shutdown has begun is refused.
			if err := <-ended; err != nil && detailsOf(err).code != codes.Unavailable && detailsOf(err).code != codes.Canceled {
				t.Error(err)
			}
		}
	})
}

// A connection without a handshake does not delay the shutdown.
func TestShutdownWithSilentConnections(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(c *server.Config) { c.Timeouts().Handshake = time.Hour })
	silent := b.dial(t)
	b.witness(t)()
	b.shutdown() // which must not take all its time
	if _, err := io.Copy(io.Discard, silent); err != nil && !isReset(err) {
		t.Error(err)
	}
}

// The shutdown ends at its deadline, whatever clients do.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	b := setupWithoutTimeouts(t, func(*server.Config) {})
	b.writeLargeState(t)
	b.dialRaw(t, open).fillSocket()
	raw := b.dialRaw(t, noWindow).readFrames()
	_, err := raw.open(publish)
	raw.must(0, err)
	raw.call(watch, &argusv1.WatchRequest{JobId: "big", IncludeState: true})
	b.witness(t)()
	ctx, cancel := context.WithTimeout(b.ctx, 500*time.Millisecond)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.server.Shutdown(ctx)
	}()
	select {
	case <-done:
	case <-b.ctx.Done():
		t.Fatal("the shutdown did not end")
	}
	raw.awaitClose()
}
