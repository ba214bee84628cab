package queue

import (
	"log/slog"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

const (
	// checkPeriod is how often a queue that is read from is registered, and how often a publish checks
	// that its queue is registered and its stream has its groups: they may have been deleted since.
	checkPeriod = 10 * time.Second
	// warnPeriod is how often a group without readers is logged.
	warnPeriod = time.Hour
	// ConsumerIdle is how long a consumer that holds nothing is kept.
	ConsumerIdle = time.Hour
	// maxHealthy is how many groups are remembered; beyond it, all are forgotten.
	maxHealthy = 10_000
)

// History is what a process has seen of its queues.
type History struct {
	Noted   Throttle // registrations of queues that are read from
	Grouped Throttle // checks by publishes
	Warned  Throttle // warnings of groups without readers

	mu     sync.Mutex
	groups map[groupName]time.Time // when a group was last seen
}

type groupName struct{ queue, group string }

func newHistory() *History {
	return &History{Noted: Throttle{Period: checkPeriod}, Grouped: Throttle{Period: checkPeriod}, Warned: Throttle{Period: warnPeriod}}
}

// noteHealth handles the health of a group as the read script reports it, "" for good: it logs the loss
// of a stream or a group that was seen before.
func (h *History) noteHealth(log *slog.Logger, queue, group, health string) {
	if !h.see(groupName{queue, group}, health != conn.VerdictAbsent) || health == "" {
		return
	}
	if health == conn.VerdictAbsent {
		log.Error("the queue's stream was deleted: the tasks in it are lost", "queue", queue)
		return
	}
	log.Error("the consumer group was deleted and created again: leased tasks are delivered again, and so are acknowledged ones that were not deleted",
		"queue", queue, "group", group)
}

// see records that a group exists, or not, and reports whether it was seen lately.
func (h *History) see(name groupName, exists bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen, was := h.groups[name]
	if h.groups == nil || len(h.groups) >= maxHealthy {
		h.groups = make(map[groupName]time.Time)
	}
	if exists {
		h.groups[name] = time.Now()
	} else {
		delete(h.groups, name)
	}
	return was && time.Since(seen) < ConsumerIdle // later the cleaner may have deleted it
}
