package main

import (
	"fmt"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

const crowdName = "crowd"

// startCrowd starts thousands of watches, each of a job of its own.
func startCrowd(w *world) error {
	p, err := w.main.start("crowd", crowdName, "-producer", crowdName, "-streams", strconv.Itoa(crowdSize))
	if err != nil {
		return err
	}
	w.extraProcesses = append(w.extraProcesses, p)
	return w.awaitCrowd()
}

// awaitCrowd waits until the servers serve all watches of the crowd.
func (w *world) awaitCrowd() error {
	err := until(60*time.Second, func() bool {
		n := 0.0
		for _, s := range w.main.servers {
			n += s.metric("argus_watched_keys")
		}
		return n >= crowdSize
	})
	if err != nil {
		return fmt.Errorf("not all watches of the crowd are served: %w", err)
	}
	return nil
}

// reconnectCrowd restarts all servers of the main tenant, so that the crowd reconnects at once. It
// adds events before, so that watches have a cursor, and while the servers are down.
func reconnectCrowd(w *world) error {
	if err := w.addEvents(); err != nil {
		return err
	}
	pause(w, 200*time.Millisecond, 400*time.Millisecond)
	for _, s := range w.main.servers {
		s.kill()
	}
	if err := w.addEvents(); err != nil {
		return err
	}
	for _, s := range w.main.servers {
		if err := s.restart(); err != nil {
			return err
		}
	}
	return w.awaitCrowd()
}

// addEvents adds an event to each job that the watcher waits for, as a raw Redis client does.
func (w *world) addEvents() error {
	store, err := w.main.store()
	if err != nil {
		return err
	}
	events, err := history.Read(w.main.dir, "watcher")
	if err != nil {
		return err
	}
	pipe := store.Pipeline()
	for _, job := range history.Waiting(events) {
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key("argus_completion:" + job), Values: []any{"status", "running", "junk", "1"}})
	}
	_, err = pipe.Exec(ctx)
	return err
}

// completeCrowd adds the result of each job of the crowd, as a raw Redis client does, and waits
// until all watches have received theirs. The checker reports those that have not.
func completeCrowd(w *world) error {
	store, err := w.main.store()
	if err != nil {
		return err
	}
	pipe := store.Pipeline()
	for i := range crowdSize {
		pipe.XAdd(ctx, &goredis.XAddArgs{Stream: w.main.key(fmt.Sprint("argus_completion:", crowdName, "-", i)), Values: []any{"status", "completed"}})
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return err
	}
	_ = until(30*time.Second, func() bool {
		events, err := history.Read(w.main.dir, crowdName)
		return err == nil && len(events) >= crowdSize && len(history.Waiting(events)) == 0
	})
	w.extraProcesses[0].stop()
	return nil
}
