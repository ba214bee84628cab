package server

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// Of many similar failures the log has the first ones and the number of the others.
func TestSimilarFailuresAreSampled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		log := &callLog{logger: slog.New(slog.NewTextHandler(&text, nil))}
		fail := func(method string, err error) {
			c := log.newCall(method, nil)
			_ = c.run(t.Context(), layers, func(context.Context) error { return err })
		}
		lines := func(want int, what string) {
			t.Helper()
			if n := strings.Count(text.String(), what); n != want {
				t.Errorf("%d lines with %s, want %d:\n%s", n, what, want, &text)
			}
		}
		for range 1000 {
			fail("/a", job.ErrLeaseLost)
			fail("/b", guard.ErrBusy)
		}
		fail("/a", job.ErrJobNotFound)
		lines(5, "method=/a code=FailedPrecondition")
		lines(5, "method=/b code=ResourceExhausted")
		lines(1, "method=/a code=NotFound")
		time.Sleep(samplePeriod) // the bubble's clock
		fail("/a", job.ErrLeaseLost)
		lines(1, `not logged" method=/a reason=LEASE_LOST calls=995`)
		lines(6, "method=/a code=FailedPrecondition")
		log.flush(t.Context(), false)
		lines(1, `not logged" method=/b reason=SERVER_BUSY calls=995`)
		for range 10 {
			fail("/a", job.ErrLeaseLost)
		}
		log.flush(t.Context(), false)
		lines(0, "calls=6")
		log.flush(t.Context(), true)
		lines(1, "calls=6")
		lines(0, "calls=0")
	})
}
