package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// queues are the queues of the tenant's tasks.
var queues = []string{"argus_task_queue", fairQueue}

// isDrained reports whether no queue has a waiting, leased or delayed task.
func (t *tenant) isDrained() bool {
	return !slices.ContainsFunc(t.prefixes, func(prefix string) bool {
		store, err := t.world.topology.store(prefix)
		if err != nil {
			return true
		}
		left, err := store.ZCard(ctx, prefix+"argus_fair:"+fairQueue).Result()
		for _, queue := range queues {
			length, err1 := store.XLen(ctx, prefix+queue).Result()
			delayed, err2 := store.ZCard(ctx, prefix+"argus_delayed:"+queue).Result()
			left, err = left+length+delayed, cmp.Or(err, err1, err2)
		}
		return err != nil || left > 0
	})
}

// inFlight waits until the fair queue, which is empty, counts no tasks as in flight. It returns the
// organizations that it still counts tasks for.
func (t *tenant) inFlight() (left map[string]string, err error) {
	_ = until(30*time.Second, func() bool {
		left = make(map[string]string)
		for _, prefix := range t.prefixes {
			var store *goredis.Client
			if store, err = t.world.topology.store(prefix); err != nil {
				return false
			}
			var held map[string]string
			if held, err = store.HGetAll(ctx, prefix+"argus_fair_held:"+fairQueue).Result(); err != nil {
				return false
			}
			maps.Copy(left, held)
		}
		return len(left) == 0
	})
	return left, err
}

// watchesAreDone reports whether no watch waits for a stored result.
func (t *tenant) watchesAreDone() bool {
	events, err := history.Read(t.dir, "watcher")
	if err != nil {
		return false
	}
	for _, job := range history.Waiting(events) {
		store, err := t.world.topology.store(t.prefixOf(job))
		if err != nil {
			return false
		}
		last, err := store.XRevRangeN(ctx, t.prefixOf(job)+"argus_completion:"+job, "+", "-", 1).Result()
		if err != nil || len(last) > 0 && storedEvent(last[0]).Terminal() {
			return false
		}
	}
	return true
}

// storedEvent converts a stream entry.
func storedEvent(e goredis.XMessage) history.StoredEvent {
	status, _ := e.Values["status"].(string)
	return history.StoredEvent{Cursor: e.ID, Status: status}
}

// stored reads what Redis holds.
func (t *tenant) stored() (history.Stored, error) {
	s := history.Stored{Events: make(map[string][]history.StoredEvent), Queued: make(map[string]bool), FairLimit: fairLimit}
	for _, prefix := range t.prefixes {
		if err := t.storedUnder(prefix, s); err != nil {
			return s, err
		}
	}
	return s, nil
}

// storedUnder adds what Redis holds under a prefix.
func (t *tenant) storedUnder(prefix string, s history.Stored) error {
	store, err := t.world.topology.store(prefix)
	if err != nil {
		return err
	}
	keys := store.Scan(ctx, 0, prefix+"argus_completion:*", 1000).Iterator()
	for keys.Next(ctx) {
		events, err := store.XRange(ctx, keys.Val(), "-", "+").Result()
		if err != nil {
			return err
		}
		job := strings.TrimPrefix(keys.Val(), prefix+"argus_completion:")
		s.Events[job] = nil // SCAN may return a key twice
		isDone := false
		for _, e := range events {
			if event := storedEvent(e); !isDone || e.Values["junk"] == nil { // ignore what a raw client adds after the result
				s.Events[job] = append(s.Events[job], event)
				isDone = isDone || event.Terminal()
			}
		}
	}
	for _, stream := range []string{queues[0], "argus_dead:" + queues[0], queues[1], "argus_dead:" + queues[1]} {
		entries, err := store.XRange(ctx, prefix+stream, "-", "+").Result()
		if err != nil {
			return err
		}
		for _, e := range entries {
			job, _ := e.Values["job_id"].(string)
			s.Queued[job] = true
		}
	}
	return keys.Err()
}

// check checks the tenant's histories. It adds the failures that were observed from outside.
func (t *tenant) check(failures []history.Event) (history.Report, []history.Event, error) {
	events, err := history.Read(t.dir, "*")
	if err != nil {
		return history.Report{}, nil, err
	}
	stored, err := t.stored()
	if err != nil {
		return history.Report{}, nil, err
	}
	report := history.Check(append(events, failures...), stored, t.canary)
	left, err := t.inFlight()
	if len(left) > 0 {
		report.Violations = append(report.Violations, history.Violation{Invariant: "I9", Detail: fmt.Sprint("an empty queue still counts tasks in flight: ", left)})
	}
	return report, events, err
}
