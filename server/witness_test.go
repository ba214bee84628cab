package server_test

import (
	"context"
	"testing"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// witness is a client that behaves well while others do not, and must be served: it goes
// on until the returned function is called, and at least once after it was.
func (b *bundle) witness(t *testing.T) (stop func()) {
	t.Helper()
	serve := func(ctx context.Context) bool {
		_, err := b.state.SetField(ctx, &argusv1.SetFieldRequest{JobId: "witness", Field: "f", Value: "v"})
		if err == nil {
			_, err = b.state.GetField(ctx, &argusv1.GetFieldRequest{JobId: "witness", Field: "f"})
		}
		if err != nil && ctx.Err() == nil {
			t.Error("someone who behaves well was not served:", err)
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
