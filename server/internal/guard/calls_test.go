package guard

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"google.golang.org/grpc/tap"
)

// A call that is reset before its request has arrived is released at once, not only when its
// timer fires.
func TestResetCallIsReleased(t *testing.T) {
	t.Parallel()
	type key struct{}
	reset := func() weak.Pointer[[1 << 20]byte] {
		headers := new([1 << 20]byte)
		stream, cancel := context.WithCancel(context.WithValue(context.Background(), key{}, headers))
		defer cancel()
		g := New(Config{Limits: Limits{Calls: 1}, Timeouts: Timeouts{Request: time.Hour}})
		if _, err := g.admitCall(stream, &tap.Info{}); err != nil {
			t.Fatal(err)
		}
		return weak.Make(headers)
	}
	headers := reset()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for headers.Value() != nil {
		runtime.GC()
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the headers of a call that was reset stay in memory")
		}
	}
}

// Open calls are counted from their admission until they end, and the timer for the request
// stops when it arrives.
func TestCallLimitAndRequestTimer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		refused := errors.New("refused")
		g := New(Config{Limits: Limits{Calls: 2}, Timeouts: Timeouts{Request: time.Second},
			Refuse: func(context.Context, error) error { return refused }})
		admit := func() context.Context {
			t.Helper()
			ctx, err := g.admitCall(t.Context(), &tap.Info{})
			if err != nil {
				t.Fatal(err)
			}
			return ctx
		}
		arrived, silent := admit(), admit()
		if _, err := g.admitCall(t.Context(), &tap.Info{}); err != refused {
			t.Errorf("a third call: %v, want it refused", err)
		}
		requestArrived(arrived)
		time.Sleep(time.Second) // the bubble's clock
		synctest.Wait()
		if err := arrived.Err(); err != nil {
			t.Errorf("a call whose request arrived ended: %v", err)
		}
		if err := silent.Err(); err != context.DeadlineExceeded || context.Cause(silent) != ErrSlowRequest {
			t.Errorf("a call without a request: %v (%v), want it ended by ErrSlowRequest", err, context.Cause(silent))
		}
		callOver(arrived)
		callOver(arrived)
		callOver(silent)
		if n := g.calls.Load(); n != 0 {
			t.Errorf("%d calls are counted after all ended, want 0", n)
		}
	})
}
