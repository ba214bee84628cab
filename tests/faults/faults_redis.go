package main

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

var redisFaults = []scenario{
	{name: "Redis forgets the scripts", build: everysec, inject: withAlone(func(_ *world, a *alone) error { return a.client.ScriptFlush(ctx).Err() })},
	{name: "the consumer group is destroyed", build: everysec, inject: withAlone(func(w *world, a *alone) error {
		return w.loses(history.LostLeases, time.Now(), func() error {
			return a.client.XGroupDestroy(ctx, w.main.key("argus_task_queue"), "argus-workers").Err()
		})
	})},
	{name: "Redis is out of memory", build: everysec, inject: withAlone(fillMemory)},
	{name: "Redis is read-only", build: everysec, inject: withAlone(readOnly)},
	{name: "Redis loads for long", build: everysec, inject: withAlone(loadLong)},
	{name: "raw peers write garbage", build: everysec, inject: withAlone(writeGarbage)},
}

// fillMemory fills Redis up to its limit for a second.
func fillMemory(w *world, a *alone) error {
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

// readOnly makes Redis the replica of a master that is not there: it keeps its data, and
// refuses to write.
func readOnly(w *world, a *alone) error {
	if err := a.client.ReplicaOf(ctx, "127.0.0.1", "1").Err(); err != nil {
		return err
	}
	pause(w, 300*time.Millisecond, time.Second)
	return a.client.ReplicaOf(ctx, "NO", "ONE").Err()
}

// loadLong restarts Redis with so much to load that it says LOADING for a while: it looks
// up from an append-only file every 1024 commands.
func loadLong(w *world, a *alone) error {
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
	told := false
	err := until(60*time.Second, func() bool {
		err := a.client.Ping(ctx).Err()
		told = told || err != nil && strings.HasPrefix(err.Error(), "LOADING")
		return err == nil
	})
	if err == nil && !told {
		err = errors.New("it did not say LOADING")
	}
	return err
}

// loadDelay is a key-load-delay by which loading takes a second or two, however much there
// is: below zero it is among how many commands one waits.
func (a *alone) loadDelay() string {
	const waits = 20000 // of the shortest kind in that time
	size := 0
	_, _ = fmt.Sscan(a.info("persistence", "aof_current_size"), &size)
	commands := max(1, size/80)
	if commands <= waits {
		return fmt.Sprint(1_500_000 / commands)
	}
	return fmt.Sprint(-1 - commands/waits)
}

// writeGarbage writes what is no task and no event.
func writeGarbage(w *world, a *alone) error {
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
