package main

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// The sizes of the client faults.
const (
	hoardSize = 1000 // tasks of one worker
	crowdSize = 2000 // watches
	floodSize = 1000 // tasks of the other tenant
)

var clientFaults = []scenario{
	{name: "a worker is killed with 1000 leases", build: everysec, inject: killHoarder},
	{name: "a poison task kills every worker", build: everysec, serve: []string{"--max-crashes", "3"}, inject: poison},
	{name: "another tenant publishes a flood", build: everysec, inject: floodOther},
	{name: "2000 watches reconnect at once", build: everysec, begin: startCrowd, inject: reconnectCrowd, finish: completeCrowd},
	{name: "a watch is never read", build: everysec, begin: openUnreadWatch, inject: onStandalone(overflowUnreadWatch), finish: checkUnreadWatchClosed},
	{name: "clients send garbage", build: everysec, inject: sendGarbage},
}

// uniqueName makes a name that is new in this world.
func (w *world) uniqueName(name string) string {
	w.nameCount++
	return fmt.Sprint(name, "-", w.nameCount)
}

// killHoarder kills a worker that holds 1000 tasks, while the others are paused.
func killHoarder(w *world) error {
	for _, worker := range w.main.workers {
		worker.signal(syscall.SIGSTOP)
		defer worker.signal(syscall.SIGCONT)
	}
	id := w.uniqueName("hoard")
	jobs := make([]string, hoardSize)
	for i := range jobs {
		jobs[i] = fmt.Sprint(id, "-", i)
	}
	for i, batch := range slices.Collect(slices.Chunk(jobs, hoardSize/2)) {
		if err := w.main.role.publishBatch(ctx, fmt.Sprint(id, ".", i), batch); err != nil {
			return err
		}
	}
	name := w.uniqueName("hoarder")
	hoarder, err := w.main.start("hoarder", name)
	if err != nil {
		return err
	}
	defer hoarder.end()
	err = until(30*time.Second, func() bool {
		events, err := history.Read(w.main.dir, name)
		return err == nil && len(events) >= hoardSize
	})
	if err != nil {
		return fmt.Errorf("the worker did not receive %d tasks: %w", hoardSize, err)
	}
	return nil
}

// poison publishes a task that kills each worker that receives it, and restarts the workers until
// the task is a dead letter.
func poison(w *world) error {
	job := w.uniqueName("poison")
	w.main.role.publish(ctx, job, destination{}, map[string]string{"poison": "yes"})
	restartWorkers := func() {
		for _, worker := range w.main.workers {
			if worker.hasEnded() {
				_ = worker.start()
			}
		}
	}
	defer restartWorkers()
	err := until(90*time.Second, func() bool {
		restartWorkers()
		store, err := w.main.store()
		if err != nil {
			return false
		}
		dead, err := store.XRange(ctx, w.main.key("argus_dead:argus_task_queue"), "-", "+").Result()
		return err == nil && slices.ContainsFunc(dead, func(e goredis.XMessage) bool { return e.Values["job_id"] == job })
	})
	if err != nil {
		return fmt.Errorf("the poison task is not a dead letter: %w", err)
	}
	return nil
}

// floodOther publishes tasks of the other tenant in large batches.
func floodOther(w *world) error {
	id := w.uniqueName("flood")
	for i := range floodSize / 100 {
		jobs := make([]string, 100)
		for k := range jobs {
			jobs[k] = fmt.Sprint(id, "-", i, "-", k)
		}
		if err := w.other.role.publishBatch(ctx, fmt.Sprint(id, ".", i), jobs); err != nil {
			return err
		}
	}
	return nil
}
