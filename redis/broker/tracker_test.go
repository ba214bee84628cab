package broker_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// tracked waits until Redis rings the bell.
func (b *bundle) tracked(t *testing.T) {
	t.Helper()
	w, _ := b.watch(t, "nobody", "") // it starts lazily
	await(t, b.ctx, func() bool { return b.broker.WaitStats().Tracking })
	w.Close()
}

// connections lists the ids of Redis's connections.
func (b *bundle) connections(t *testing.T) []string {
	t.Helper()
	text, err := b.raw.Do(b.ctx, "CLIENT", "LIST").Text()
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for line := range strings.Lines(text) {
		id, _, _ := strings.Cut(strings.TrimPrefix(line, "id="), " ")
		ids = append(ids, id)
	}
	return ids
}

// Whatever a raw peer does to a job's stream or to a queue rings.
func TestTracking(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Own(t).Engine(), job.Settings{})
	b.tracked(t)
	key := b.key("argus_completion:job")
	w, _ := b.watch(t, "job", "")
	for name, write := range map[string]func(){
		"XADD": func() { b.raw.XAdd(b.ctx, entry(key, "status", "running")) },
		"MULTI": func() {
			_, _ = b.raw.TxPipelined(b.ctx, func(p goredis.Pipeliner) error { p.XAdd(b.ctx, entry(key, "status", "running")); return nil })
		},
		"script": func() { b.raw.Eval(b.ctx, "redis.call('XADD', KEYS[1], '*', 'status', 'running')", []string{key}) },
		"RENAME": func() {
			b.raw.Copy(b.ctx, key, "copy", 0, true)
			b.raw.XAdd(b.ctx, entry("copy", "status", "running"))
			b.raw.Rename(b.ctx, "copy", key)
		},
	} {
		write()
		if event, err := w.Next(b.ctx, longWait); err != nil || event == nil || event.Status != job.StatusRunning {
			t.Errorf("%s: %v, %v", name, event, err)
		}
	}
	if s := b.broker.WaitStats(); s.Connections != 1 {
		t.Error("the tracker does not last:", s)
	}
	b.raw.FlushAll(b.ctx)
	if _, err := w.Next(b.ctx, longWait); err == nil {
		t.Error("FLUSHALL was not noticed")
	}
	// A worker who waits is woken by a raw peer, and by each of several entries.
	var workers sync.WaitGroup
	for i := range 5 {
		workers.Go(func() {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: longWait})
			if err != nil || len(d) != 1 {
				t.Error(d, err)
			}
		})
	}
	await(t, b.ctx, func() bool { return b.broker.WaitStats().Workers == 5 })
	b.raw.Pipelined(b.ctx, func(p goredis.Pipeliner) error {
		for i := range 5 {
			p.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", fmt.Sprint("raw-", i)))
		}
		return nil
	})
	workers.Wait()
	// Redis may forget which keys it should ring for: then it rings.
	b.raw.ConfigSet(b.ctx, "tracking-table-max-keys", "10")
	var watches sync.WaitGroup
	for i := range 100 {
		id := fmt.Sprint("many-", i)
		w, _ := b.watch(t, id, "")
		watches.Go(func() {
			if event, err := w.Next(b.ctx, longWait); err != nil || event == nil {
				t.Error(event, err)
			}
		})
	}
	for i := range 100 {
		b.raw.XAdd(b.ctx, entry(b.key(fmt.Sprint("argus_completion:many-", i)), "status", "completed"))
	}
	watches.Wait()
}

// The number of Redis connections does not grow with those who wait.
func TestConnectionsDoNotGrow(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Own(t).Engine(), job.Settings{})
	b.tracked(t)
	const watches, workers = 5000, 200
	all := b.broker.Watches()
	defer all.Close()
	for i := range watches {
		if err := all.Add(fmt.Sprint("job-", i), watch.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.ctx)
	var waiting sync.WaitGroup
	for i := range workers {
		waiting.Go(func() { _, _ = b.broker.Read(ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: longWait}) })
	}
	for range watches {
		if frame, err := all.Next(b.ctx, longWait); err != nil || frame == nil || frame.Snapshot == nil {
			t.Fatal(frame, err)
		}
	}
	await(t, b.ctx, func() bool {
		s := b.broker.WaitStats()
		return s.Tracking && s.Connections == 1 && s.Workers == workers && s.Keys == watches
	})
	// The driver's two pools of 10, one of the tracker, and this test's own two.
	if n := len(b.connections(t)); n > 23 {
		t.Error(n, "connections")
	}
	for i := range watches {
		b.raw.XAdd(b.ctx, entry(b.key(fmt.Sprint("argus_completion:job-", i)), "status", "completed"))
	}
	seen := make(map[string]bool)
	for range watches {
		frame, err := all.Next(b.ctx, longWait)
		if err != nil || frame == nil || !frame.Done || seen[frame.JobID] {
			t.Fatal(frame, err)
		}
		seen[frame.JobID] = true
	}
	if s := b.broker.WaitStats(); s.Reads < 2*watches || s.Changes < watches || s.Pipelines > s.Reads {
		t.Errorf("%+v", s)
	}
	if all.Len() != 0 {
		t.Error(all.Len(), "jobs are followed after their results")
	}
	cancel()
	waiting.Wait()
	if s := b.broker.WaitStats(); s.Workers != 0 || s.Keys != 0 {
		t.Error("left behind:", s)
	}
}

// jitter takes a random number of round trips, so that what follows meets what else is
// going on at a different moment each time.
func (b *bundle) jitter(most int) {
	for range rand.IntN(most) {
		b.raw.Ping(b.ctx)
	}
}

var rounds = flag.Int("rounds", 100, "rounds of TestLostWakeUps")

// No ring is lost, whenever the tracker's connections break.
func TestLostWakeUps(t *testing.T) {
	t.Parallel()
	// An answer that is lost with its connection leaves a lease behind.
	b := setup(t, redistest.Own(t).Engine(), job.Settings{Queue: job.QueueSettings{Lease: 200 * time.Millisecond, MaxCrashes: 1000}})
	b.tracked(t)
	b.ctx = t.Context() // what is lost shows as a wait of longWait, however many the rounds
	ctx, cancel := context.WithCancel(b.ctx)
	var killer sync.WaitGroup
	killer.Go(func() {
		for ctx.Err() == nil {
			ids := b.connections(t)
			for _, i := range rand.Perm(len(ids))[:min(2, len(ids))] {
				b.raw.Do(ctx, "CLIENT", "KILL", "ID", ids[i], "SKIPME", "yes")
			}
			b.jitter(100)
		}
	})
	defer killer.Wait()
	defer cancel()
	raw := b.engine.Raw(t)
	write := func(args *goredis.XAddArgs) {
		for raw.XAdd(b.ctx, args).Err() != nil && b.ctx.Err() == nil { // its connection is killed as well
		}
	}
	for i := range *rounds {
		id := fmt.Sprint("job-", i)
		var both sync.WaitGroup
		both.Go(func() {
			for {
				event, err := b.broker.Await(b.ctx, id, longWait)
				switch {
				case event != nil:
					return
				case b.ctx.Err() != nil || err == nil:
					t.Errorf("round %d: %v, %v", i, event, err)
					return
				}
			}
		})
		both.Go(func() {
			for {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
				if len(d) == 1 {
					return
				}
				if b.ctx.Err() != nil || err == nil {
					t.Errorf("round %d: %v, %v", i, d, err)
					return
				}
			}
		})
		b.jitter(20)
		write(entry(b.key("argus_completion:"+id), "status", "completed"))
		write(entry(b.key(job.DefaultQueue), "job_id", id))
		both.Wait()
		if t.Failed() {
			return
		}
	}
}

// A Redis that refuses to track keys is swept.
func TestTrackingRefused(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t)
	e := server.Engine()
	raw := e.Raw(t)
	ctx := redistest.Context(t)
	if err := raw.Do(ctx, "ACL", "SETUSER", "default", "-client|tracking").Err(); err != nil {
		t.Fatal(err)
	}
	var log logged
	b := setup(t, e, job.Settings{Logger: newLog(&log)})
	w, _ := b.watch(t, "job", "")
	await(t, b.ctx, func() bool { return log.has("watched keys are polled") })
	b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", "completed"))
	if event, err := w.Next(b.ctx, longWait); err != nil || event == nil {
		t.Error(event, err)
	}
	if b.broker.WaitStats().Tracking {
		t.Error("it believes that Redis tracks")
	}
}

// Many who watch one job, from different cursors and with its state, get every event once and
// in its order, and no older state after a newer one, while raw peers and the broker write in
// bursts of all sizes.
func TestManyWatchOneJob(t *testing.T) {
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
