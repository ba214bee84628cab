package broker_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Many watches of one job, from different cursors and with its state, receive every event once and in order,
// and no older state after a newer one, while raw peers and the broker write in bursts of all sizes.
func TestManyWatchesOfOneJobSeeEveryEvent(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const id, last = "job", 600
		var watches sync.WaitGroup
		watcher := func(after string, n int) {
			w, err := b.broker.WatchFrames(id, watch.Options{After: after, State: n%2 == 0})
			if err != nil {
				t.Error(err)
				return
			}
			defer w.Close()
			state := 0
			for n < last {
				frame, err := w.Next(b.ctx, longWait)
				switch {
				case err != nil || frame == nil || frame.Err != nil:
					t.Error("after", n, frame, err)
					return
				case frame.Event != nil:
					if n++; frame.Event.Fields["n"] != fmt.Sprint(n) {
						t.Errorf("event %s, want %d", frame.Event.Fields["n"], n)
						return
					}
				case frame.State != nil && frame.State.Fields["n"] != "":
					if now, _ := strconv.Atoi(frame.State.Fields["n"]); now < state {
						t.Errorf("state %d after %d", now, state)
					} else {
						state = now
					}
				}
			}
		}
		for range 4 {
			watches.Go(func() { watcher("", 0) })
		}
		for n := 0; n < last; {
			burst := min(last-n, 1+rand.IntN(1+rand.IntN(250)))
			cmds, err := b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
				for range burst {
					n++
					p.HSet(b.ctx, b.key("job_state:"+id), "n", n)
					p.XAdd(b.ctx, entry(b.key("argus_completion:"+id), "status", "running", "n", n))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if rand.IntN(3) == 0 {
				after, at := cmds[len(cmds)-1].(*goredis.StringCmd).Val(), n
				watches.Go(func() { watcher(after, at) })
			}
		}
		watches.Wait()
	})
}

// A watch receives several pages of events in order, also when it reconnects meanwhile.
func TestWatchReceivesManyEventsInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const n = 350 // several pages
		w, _ := b.watch(t, "job", "")
		var reporter sync.WaitGroup
		defer reporter.Wait()
		reporter.Go(func() {
			for range n {
				if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning}); err != nil {
					t.Error(err)
				}
			}
			if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted}); err != nil {
				t.Error(err)
			}
		})
		var last [2]int
		seen := 0
		for !w.Done() {
			event, at := b.next(t, w), [2]int{}
			if _, err := fmt.Sscanf(event.Cursor, "%d-%d", &at[0], &at[1]); err != nil || slices.Compare(at[:], last[:]) <= 0 {
				t.Fatalf("%v after %v (%v)", at, last, err)
			}
			last, seen = at, seen+1
			if seen%50 == 0 { // reconnect now and then
				w, _ = b.watch(t, "job", w.Cursor())
			}
		}
		if seen != n+1 {
			t.Errorf("%d events, want %d", seen, n+1)
		}
	})
}
