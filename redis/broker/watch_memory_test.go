package broker_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Watches of a job with large events hold a few of them at a time, and read them together. It is not
// parallel: it measures the process.
func TestWatchesOfLargeEventsShareTheirMemory(t *testing.T) {
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if !e.Real() {
			t.Skip("miniredis is in this process: its memory would be measured as well")
		}
		b := setup(t, redistest.Own(t).Engine(), job.Settings{})
		const watches, events, size = 10, 20, 2900 << 10
		b.peerEvents(t, "job", events, "status", "running", "x", strings.Repeat("x", size))
		b.peerEvents(t, "job", 1, "status", "completed")
		base := heap()
		var all sync.WaitGroup
		most, mu := int64(0), sync.Mutex{}
		for range watches {
			all.Go(func() {
				w, err := b.broker.WatchFrames("job", watch.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				defer w.Close()
				for n := 0; ; {
					frame, err := w.Next(b.ctx, longWait)
					if err != nil || frame == nil || frame.Err != nil {
						t.Errorf("Next: %+v, %v; want frame set and no frame.Err", frame, err)
						return
					}
					if frame.Event != nil {
						n++
					}
					if frame.Done {
						if n != events+1 {
							t.Error(n, "events")
						}
						return
					}
					mu.Lock()
					most = max(most, heap()-base)
					mu.Unlock()
				}
			})
		}
		all.Wait()
		t.Logf("%d watches of %d MiB of events: %d MiB at most", watches, events*size>>20, most>>20)
		if most > 150<<20 {
			t.Errorf("%d MiB for %d watches", most>>20, watches)
		}
	})
}

// heap is the reachable memory. It may shrink below its value before a test, as some of what earlier tests
// left is freed late.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A watch that catches up with very many small events receives all of them in a few reads.
func TestWatchCatchesUpInFewReads(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.peerEvents(t, "job", 5000, "status", "running")
		b.peerEvents(t, "job", 1, "status", "completed")
		before := b.broker.WaitStats().Reads
		w, _ := b.watch(t, "job", "")
		for n := 1; n <= 5001; n++ {
			if event := b.next(t, w); w.Done() != (n == 5001) {
				t.Fatal(n, event)
			}
		}
		if n := b.broker.WaitStats().Reads - before; n > 70 {
			t.Error(n, "reads")
		}
	})
}

// A watcher of many jobs with large events receives all of them, a few at a time.
func TestManyJobsWithLargeEventsAreWatched(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const jobs = 60
		all := b.broker.Watches()
		defer all.Close()
		for i := range jobs {
			id := fmt.Sprint("job-", i)
			b.peerEvents(t, id, 3, "status", "running", "x", strings.Repeat("x", 300<<10))
			b.peerEvents(t, id, 1, "status", "completed")
			if err := all.Add(id, watch.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for done, events := 0, 0; done < jobs; {
			frame, err := all.Next(b.ctx, longWait)
			if err != nil || frame == nil || frame.Err != nil {
				t.Fatal(frame, err)
			}
			if frame.Event != nil {
				events++
			}
			if frame.Done {
				done++
			}
			if done == jobs && events != 4*jobs {
				t.Error(events, "events")
			}
		}
	})
}

// A watched job takes little memory. It is not parallel: it measures the process.
func TestWatchedJobIsSmallInMemory(t *testing.T) {
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		if !e.Real() {
			t.Skip("miniredis is in this process: its memory would be measured as well")
		}
		b := setup(t, redistest.Own(t).Engine(), job.Settings{})
		b.tracked(t)
		const jobs = 50_000
		base := heap()
		all := b.broker.Watches()
		defer all.Close()
		for i := range jobs {
			if err := all.Add(fmt.Sprint("018f0000-0000-7000-8000-", i), watch.Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for range jobs {
			if frame, err := all.Next(b.ctx, longWait); err != nil || frame == nil {
				t.Fatal(frame, err)
			}
		}
		if n := (heap() - base) / jobs; n > 330 {
			t.Errorf("%d bytes for each watched job", n)
		}
	})
}
