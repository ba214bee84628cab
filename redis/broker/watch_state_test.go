package broker_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// An oversized state of a raw peer is watched as truncated, and the watch continues when the state is small.
func TestWatchReportsAnOversizedState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		key := b.key("job_state:job")
		b.fatHash(t, "job", 12, 1<<20)
		w, err := b.broker.WatchFrames("job", watch.Options{State: true})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		nextState := func() *watch.StateChange {
			t.Helper()
			for {
				frame, err := w.Next(b.ctx, longWait)
				if err != nil || frame == nil || frame.Err != nil {
					t.Fatalf("Next: %+v, %v; want frame set and no frame.Err", frame, err)
				}
				if frame.State != nil {
					return frame.State
				}
			}
		}
		if change := nextState(); !change.Truncated || len(change.Fields) != 0 {
			t.Error("the first state is not said to be too large")
		}
		if _, err := b.raw.TxPipelined(b.ctx, func(p goredis.Pipeliner) error {
			p.Del(b.ctx, key)
			p.HSet(b.ctx, key, "x", strings.Repeat("x", 100<<10), "y", "1")
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if change := nextState(); change.Truncated || len(change.Fields) != 2 {
			t.Error(change.Truncated, len(change.Fields))
		}
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted, Fields: map[string]string{"y": "2"}}); err != nil || r.Already {
			t.Fatalf("Report: %+v, %v; want !r.Already", r, err)
		}
		if change := nextState(); change.Fields["y"] != "2" || change.Fields["status"] != "completed" {
			t.Error(change)
		}
		if frame, err := w.Next(b.ctx, longWait); err != nil || frame == nil || !frame.Done {
			t.Errorf("Next: %+v, %v; want frame set and frame.Done", frame, err)
		}
	})
}

// Many watches of a state that changes all the time read it at most once per 50 ms together.
func TestWatchesOfAStateShareItsReads(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		if e.Real() {
			b.tracked(t)
		}
		const watches, writes = 20, 2000
		last := fmt.Sprint(writes)
		start, before := time.Now(), b.broker.WaitStats().Reads
		var all sync.WaitGroup
		for range watches {
			all.Go(func() {
				w, err := b.broker.WatchFrames("job", watch.Options{State: true})
				if err != nil {
					t.Error(err)
					return
				}
				defer w.Close()
				for {
					frame, err := w.Next(b.ctx, longWait)
					if err != nil || frame == nil || frame.Err != nil {
						t.Errorf("Next: %+v, %v; want frame set and no frame.Err", frame, err)
						return
					}
					if frame.State != nil && frame.State.Fields["n"] == last {
						return
					}
				}
			})
		}
		for i := range writes {
			b.raw.HSet(b.ctx, b.key("job_state:job"), "n", i+1)
		}
		all.Wait()
		// Each watch reads the events once or twice, and by itself now and then where nothing is
		// tracked. The state is read for all together.
		elapsed := time.Since(start)
		most := int64(elapsed/(50*time.Millisecond)) + 10 + watches*(3+int64(elapsed/time.Second))
		if n := b.broker.WaitStats().Reads - before; n > most {
			t.Errorf("%d reads in %s, want at most %d", n, elapsed, most)
		}
	})
}
