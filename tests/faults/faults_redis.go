package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

var redisFaults = []scenario{
	{name: "Redis loses its script cache", build: everysec, inject: onStandalone(func(_ *world, a *standalone) error { return a.client.ScriptFlush(ctx).Err() })},
	{name: "the consumer group is destroyed", build: everysec, inject: onStandalone(func(w *world, a *standalone) error {
		return w.withLoss(history.LostLeases, time.Now(), func() error {
			return a.client.XGroupDestroy(ctx, w.main.key("argus_task_queue"), "argus-workers").Err()
		})
	})},
	{name: "Redis is out of memory", build: everysec, inject: onStandalone(fillMemory)},
	{name: "Redis is read-only", build: everysec, inject: onStandalone(readOnly)},
	{name: "Redis takes long to load", build: everysec, inject: onStandalone(loadLong)},
	{name: "raw clients write garbage", build: everysec, inject: onStandalone(writeGarbage)},
}

// fillMemory keeps Redis at its memory limit for up to a second.
func fillMemory(w *world, a *standalone) error {
	used := 0
	_, _ = fmt.Sscan(a.info("memory", "used_memory"), &used)
	if err := a.client.ConfigSet(ctx, "maxmemory", fmt.Sprint(used+2<<20)).Err(); err != nil {
		return err
	}
	filler := strings.Repeat("x", 64<<10)
	for i := 0; ; i++ {
		err := a.client.Set(ctx, fmt.Sprint("filler:", i), filler, 0).Err()
		if err != nil && strings.HasPrefix(err.Error(), "OOM") {
			break
		}
		if err != nil {
			return err
		}
	}
	pause(w, 500*time.Millisecond, time.Second)
	if err := a.client.ConfigSet(ctx, "maxmemory", "0").Err(); err != nil {
		return err
	}
	keys, err := a.client.Keys(ctx, "filler:*").Result()
	if err != nil || len(keys) == 0 {
		return err
	}
	return a.client.Del(ctx, keys...).Err()
}

// readOnly makes Redis the replica of a master that does not exist: it keeps its data, and rejects
// writes.
func readOnly(w *world, a *standalone) error {
	if err := a.client.ReplicaOf(ctx, "127.0.0.1", "1").Err(); err != nil {
		return err
	}
	pause(w, 300*time.Millisecond, time.Second)
	return a.client.ReplicaOf(ctx, "NO", "ONE").Err()
}

// loadLong restarts Redis with enough data to reply LOADING for a while: while it loads an
// append-only file, it serves clients every 1024 commands.
func loadLong(w *world, a *standalone) error {
	pipe := a.client.Pipeline()
	for i := range 10000 {
		pipe.Set(ctx, fmt.Sprint("filler:", i), "", 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	delay := a.loadDelay()
	args := a.args
	defer func() { a.args = args }()
	a.stop()
	a.args = append(append([]string(nil), args...), "--key-load-delay", delay)
	if err := a.start(); err != nil {
		return err
	}
	sawLoading := false
	err := until(60*time.Second, func() bool {
		err := a.client.Ping(ctx).Err()
		sawLoading = sawLoading || err != nil && strings.HasPrefix(err.Error(), "LOADING")
		return err == nil
	})
	if err == nil && !sawLoading {
		err = errors.New("no LOADING reply after the restart of Redis")
	}
	return err
}

// loadDelay is a key-load-delay that makes loading take one to two seconds, whatever the size of the
// data. A positive value is a delay per command in µs; -n delays one in n commands.
func (a *standalone) loadDelay() string {
	const delays = 20000 // of minimum length in that time
	size := 0
	_, _ = fmt.Sscan(a.info("persistence", "aof_current_size"), &size)
	commands := max(1, size/80)
	if commands <= delays {
		return fmt.Sprint(1_500_000 / commands)
	}
	return fmt.Sprint(-1 - commands/delays)
}

// writeGarbage adds malformed tasks and events.
func writeGarbage(w *world, a *standalone) error {
	stream := w.main.key("argus_task_queue")
	for _, junk := range [][]any{{"x", "y"}, {"data", "{"}, {"data", `{"job_id": []}`}, {"job_id", ""}, {"job_id", strings.Repeat("j", 4000)},
		{"\x00\xff", "\xfe"}, {"job_id", "a\x00b"}, {"data", strings.Repeat("[", 10000)}} {
		if err := a.client.Do(ctx, append([]any{"xadd", stream, "*"}, junk...)...).Err(); err != nil {
			return err
		}
	}
	events, err := history.Read(w.main.dir, "watcher")
	if err != nil {
		return err
	}
	for i, job := range history.Waiting(events) {
		junk := [][]any{{"junk", "1"}, {"junk", "1", "status", "\xff\xfe"}, {"junk", "1", "data", "}{"}, {"junk", "1", "status", "running", "completed_at", "never"}}
		if err := a.client.Do(ctx, append([]any{"xadd", w.main.key("argus_completion:" + job), "*"}, junk[i%len(junk)]...)...).Err(); err != nil {
			return err
		}
	}
	return nil
}
