package queue

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

func TestAlarm(t *testing.T) {
	t.Parallel()
	const unit = conn.LongPeriod / 10
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		a := newAlarm()
		goesOffAfter := func(step string, want time.Duration) {
			t.Helper()
			start := time.Now()
			if !a.wait(ctx) {
				t.Fatalf("%s: wait was ended by the context", step)
			}
			if got := time.Since(start); got != want {
				t.Errorf("%s: it went off after %s, want %s", step, got, want)
			}
		}
		goesOffAfter("new", 0)
		goesOffAfter("not set", conn.LongPeriod)
		a.set(2 * unit)
		a.set(unit)
		a.set(3 * unit)
		goesOffAfter("set three times", unit)
		goesOffAfter("the earliest only counts", conn.LongPeriod)

		time.AfterFunc(unit, func() { a.set(unit) })
		goesOffAfter("set while it waits", 2*unit)

		time.AfterFunc(unit, cancel)
		if start := time.Now(); a.wait(ctx) || time.Since(start) != unit {
			t.Errorf("a wait did not end with its context, but after %s", time.Since(start))
		}
		a.set(0)
		if a.wait(ctx) {
			t.Error("a wait with an ended context returned true")
		}
	})
}
