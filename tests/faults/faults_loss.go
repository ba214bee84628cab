package main

import (
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// lossFaults lose what Redis holds: that is counted. Nothing may hang, and no result may be
// wrong.
var lossFaults = []scenario{
	{name: "FLUSHALL", build: everysec, inject: withAlone(func(w *world, a *alone) error {
		return w.loses(history.LostAll, time.Time{}, func() error { return a.client.FlushAll(ctx).Err() })
	})},
	{name: "the task stream is deleted", build: everysec, inject: withAlone(func(w *world, a *alone) error {
		return w.loses(history.LostTasks, time.Time{}, func() error { return a.client.Del(ctx, w.main.key("argus_task_queue")).Err() })
	})},
	{name: "events of watched jobs are deleted", build: everysec, inject: withAlone(deleteEvents)},
}

// deleteEvents lets all watches see an event, deletes it, and writes others, the result among
// them: the watches must be told that there is a gap.
func deleteEvents(w *world, a *alone) error {
	key := func(job string) string { return w.main.key("argus_completion:" + job) }
	event := func(job, status string) *goredis.XAddArgs {
		return &goredis.XAddArgs{Stream: key(job), Values: []any{"status", status, "junk", "1"}}
	}
	events, err := history.Read(w.main.dir, "watcher")
	if err != nil {
		return err
	}
	jobs := history.Waiting(events)
	pipe := a.client.Pipeline()
	for _, job := range jobs {
		pipe.XAdd(ctx, event(job, "running"))
	}
	if _, err := pipe.Exec(ctx); err != nil && len(jobs) > 0 {
		return err
	}
	_ = until(2*time.Second, func() bool { // a job that gets its result meanwhile is left alone
		events, err := history.Read(w.main.dir, "watcher")
		seen := history.Seen(events)
		return err == nil && !slices.ContainsFunc(jobs, func(job string) bool { return seen[job] == 0 })
	})
	if events, err = history.Read(w.main.dir, "watcher"); err != nil {
		return err
	}
	jobs = history.Waiting(events)
	return w.loses(history.LostAll, time.Time{}, func() error {
		for _, job := range jobs {
			_, err := a.client.TxPipelined(ctx, func(tx goredis.Pipeliner) error {
				tx.Del(ctx, key(job))
				tx.XAdd(ctx, event(job, "running"))
				tx.XAdd(ctx, event(job, "completed"))
				return nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}
