package broker_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// tracked waits until Redis tracks keys.
func (b *bundle) tracked(t *testing.T) {
	t.Helper()
	w, _ := b.watch(t, "unwatched", "") // it starts lazily
	await(t, b.ctx, func() bool { return b.broker.WaitStats().Tracking })
	w.Close()
}

// connections lists the ids of Redis's client connections.
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

// Every kind of write by a raw peer to a job's stream or to a queue is noticed.
func TestTrackingNoticesRawWrites(t *testing.T) {
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
		t.Error("the tracking connection was replaced:", s)
	}
	b.raw.FlushAll(b.ctx)
	if _, err := w.Next(b.ctx, longWait); err == nil {
		t.Error("FLUSHALL was not noticed")
	}
	// Waiting reads are notified of raw entries: each of several entries wakes one.
	var workers sync.WaitGroup
	for i := range 5 {
		workers.Go(func() {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: longWait})
			if err != nil || len(d) != 1 {
				t.Errorf("Read: %+v, %v; want len(d) == 1", d, err)
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
	// Redis may forget which keys it tracks: then it sends a notification.
	b.raw.ConfigSet(b.ctx, "tracking-table-max-keys", "10")
	var watches sync.WaitGroup
	for i := range 100 {
		id := fmt.Sprint("many-", i)
		w, _ := b.watch(t, id, "")
		watches.Go(func() {
			if event, err := w.Next(b.ctx, longWait); err != nil || event == nil {
				t.Errorf("Next: %+v, %v; want event set", event, err)
			}
		})
	}
	for i := range 100 {
		b.raw.XAdd(b.ctx, entry(b.key(fmt.Sprint("argus_completion:many-", i)), "status", "completed"))
	}
	watches.Wait()
}

// The number of Redis connections does not grow with the number of waiting calls.
func TestWaitingCallsShareConnections(t *testing.T) {
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
		t.Error(all.Len(), "jobs are still watched after their results")
	}
	cancel()
	waiting.Wait()
	if s := b.broker.WaitStats(); s.Workers != 0 || s.Keys != 0 {
		t.Error("left behind:", s)
	}
}

// Where Redis refuses to track keys, they are polled.
func TestKeysArePolledWithoutTracking(t *testing.T) {
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
		t.Errorf("Next: %+v, %v; want event set", event, err)
	}
	if b.broker.WaitStats().Tracking {
		t.Error("Tracking is true, although Redis refuses it")
	}
}
