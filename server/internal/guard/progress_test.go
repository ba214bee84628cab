package guard

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The wait continues for a client that reads something now and then, and ends for a client that
// reads nothing or leaves.
func TestWaitWhileProgressing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const timeout = 8 * time.Second
		var progress atomic.Int64
		done := make(chan error, 1)
		go func() {
			for range 100 {
				time.Sleep(timeout - time.Second) // the bubble's clock
				progress.Add(1)
			}
			done <- io.EOF
		}()
		if err := waitWhileProgressing(t.Context(), done, &progress, timeout); err != io.EOF {
			t.Errorf("a client that reads slowly: %v, want the result, EOF", err)
		}
		start := time.Now()
		if err := waitWhileProgressing(t.Context(), done, &progress, timeout); err != ErrSlowReader || time.Since(start) != timeout {
			t.Errorf("a client that reads nothing: %v after %s, want ErrSlowReader after %s", err, time.Since(start), timeout)
		}
		cause := errors.New("cause")
		gone, leave := context.WithCancelCause(t.Context())
		leave(cause)
		if err := waitWhileProgressing(gone, done, &progress, timeout); err != cause {
			t.Errorf("a client that left: %v, want the context's cause", err)
		}
	})
}
