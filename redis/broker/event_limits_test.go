package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The events of a job are limited in bytes, a raw peer's included; the result is not.
func TestEventBytesAreLimited(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		large := job.Result{Status: job.StatusRunning, Fields: map[string]string{"a": strings.Repeat("x", 1<<20), "b": strings.Repeat("x", 1<<20)}}
		for _, id := range []string{"own", "peer"} {
			n := 0
			for ; n < 20; n++ {
				if id == "peer" && n%2 == 0 {
					b.peerEvents(t, id, 1, "status", "running", "x", strings.Repeat("x", 1<<20))
				}
				_, err := b.broker.Report(b.ctx, id, large)
				if errors.Is(err, job.ErrTooManyEvents) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if want := map[string]int{"own": 3, "peer": 2}[id]; n != want {
				t.Errorf("%s: %d reports of 2 MiB, want %d", id, n, want)
			}
			for range 20 { // small ones still fit
				b.report(t, id, job.StatusRunning)
			}
			b.peerEvents(t, id, 1, "status", "running", "x", strings.Repeat("x", 5<<20))
			if _, err := b.broker.Report(b.ctx, id, job.Result{Status: job.StatusRunning}); !errors.Is(err, job.ErrTooManyEvents) {
				t.Errorf("Report: %v; want the error ErrTooManyEvents", err)
			}
			large.Status = job.StatusCompleted
			if r, err := b.broker.Report(b.ctx, id, large); err != nil || r.Already {
				t.Errorf("Report: %+v, %v; want !r.Already", r, err)
			}
			large.Status = job.StatusRunning
		}
		small := b.open(t, job.Settings{EventBytes: 1000})
		for i := range 100 {
			_, err := small.Report(b.ctx, "small", job.Result{Status: job.StatusRunning, Fields: map[string]string{"n": fmt.Sprint(i)}})
			if err != nil && (i < 10 || !errors.Is(err, job.ErrTooManyEvents)) {
				t.Fatal(i, err)
			}
		}
		if n := len(b.stream(t, "argus_completion:small")); n < 10 || n > 20 {
			t.Error(n, "events in 1000 bytes")
		}
	})
}

// A job has at most 1000 events and its result.
func TestNumberOfEventsIsLimited(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 1000 {
			b.report(t, "job", job.StatusRunning)
		}
		if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning}); !errors.Is(err, job.ErrTooManyEvents) {
			t.Errorf("Report: %v; want the error ErrTooManyEvents", err)
		}
		b.report(t, "job", job.StatusCompleted)
		w, _ := b.watch(t, "job", "")
		n := 0
		for ; !w.Done(); n++ {
			b.next(t, w)
		}
		if n != 1001 {
			t.Error(n, "events")
		}
	})
}
