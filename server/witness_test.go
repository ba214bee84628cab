package server_test

import (
	"context"
	"testing"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// witness calls the server as a normal client while the test misbehaves. Every call must succeed,
// until stop is called and once more after that.
func (b *bundle) witness(t *testing.T) (stop func()) {
	t.Helper()
	serve := func(ctx context.Context) bool {
		_, err := b.state.SetField(ctx, &argusv1.SetFieldRequest{JobId: "witness", Field: "f", Value: "v"})
		if err == nil {
			_, err = b.state.GetField(ctx, &argusv1.GetFieldRequest{JobId: "witness", Field: "f"})
		}
		if err != nil && ctx.Err() == nil {
			t.Error("a normal client was not served:", err)
		}
		return err == nil
	}
	if !serve(b.ctx) {
		t.FailNow()
	}
	stopping, done := make(chan struct{}), make(chan struct{})
	tick := time.NewTicker(5 * time.Millisecond)
	go func() {
		defer close(done)
		for last := false; serve(b.ctx) && !last; {
			select {
			case <-stopping:
				last = true
			case <-tick.C:
			}
		}
	}()
	return func() {
		t.Helper()
		tick.Stop()
		close(stopping)
		<-done
	}
}
