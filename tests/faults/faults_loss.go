package main

import (
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// lossFaults delete data in Redis. The suite counts the loss; no client may hang, and no result may
// be wrong.
var lossFaults = []scenario{
	{name: "FLUSHALL", build: everysec, inject: onStandalone(func(w *world, a *standalone) error {
		return w.withLoss(history.LostAll, time.Time{}, func() error { return a.client.FlushAll(ctx).Err() })
	})},
	{name: "the task stream is deleted", build: everysec, inject: onStandalone(func(w *world, a *standalone) error {
		return w.withLoss(history.LostTasks, time.Time{}, func() error { return a.client.Del(ctx, w.main.key("argus_task_queue")).Err() })
	})},
	{name: "events of watched jobs are deleted", build: everysec, inject: onStandalone(deleteEvents)},
}

// deleteEvents waits until all watches have received an event, deletes it, and adds others with the
// result. The watches must report the gap.
func deleteEvents(w *world, a *standalone) error {
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
	_ = until(2*time.Second, func() bool { // jobs that complete meanwhile are skipped below
		events, err := history.Read(w.main.dir, "watcher")
		counts := history.EventCounts(events)
		return err == nil && !slices.ContainsFunc(jobs, func(job string) bool { return counts[job] == 0 })
	})
	if events, err = history.Read(w.main.dir, "watcher"); err != nil {
		return err
	}
	jobs = history.Waiting(events)
	return w.withLoss(history.LostAll, time.Time{}, func() error {
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
