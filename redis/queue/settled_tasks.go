package queue

import (
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// settledTasks collects the tasks that were settled in queues with a limit of tasks in flight, until the
// scheduler passes them to the move script. It also says when to count the tasks in flight again: raw
// workers settle without this process, and processes crash. Its zero value is ready.
type settledTasks struct {
	mu      sync.Mutex
	byQueue map[string][]string // entry ids
	next    map[string]time.Time
}

// The tasks in flight are counted once per countPeriod, or less often: at most 1/countShare of the time
// is spent on counting.
const (
	countPeriod = time.Second
	countShare  = 50
)

// add adds an entry, unless its queue has too many: the next count finds it.
func (t *settledTasks) add(queue, entryID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.byQueue[queue]) < job.MaxBatch {
		job.SetLazily(&t.byQueue, queue, append(t.byQueue[queue], entryID))
	}
}

// take returns what was collected, by queue, and empties the collection.
func (t *settledTasks) take() map[string][]string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := t.byQueue
	t.byQueue = nil
	return all
}

// isCountDue reports whether to count now; if so, it postpones the next count.
func (t *settledTasks) isCountDue(queue string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if now.Before(t.next[queue]) {
		return false
	}
	job.SetLazily(&t.next, queue, now.Add(countPeriod))
	return true
}

// counted postpones the next count by the duration of one.
func (t *settledTasks) counted(queue string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	job.SetLazily(&t.next, queue, time.Now().Add(max(countPeriod, countShare*took)))
}
