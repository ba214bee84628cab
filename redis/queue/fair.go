package queue

import (
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// fairPeriod is how often tasks of fair queues are moved into their streams for raw
// workers; for others they are moved as they ask. countPeriod is how often it is counted
// anew what is in flight, because raw workers settle without a word, and servers die.
const (
	fairPeriod  = 100 * time.Millisecond
	countPeriod = time.Second
	// countShare is how many times as long as the last count nothing is counted.
	countShare = 50
)

// settledTasks collects what was settled in queues with limits, until the mover tells them.
// What it doesn't hear of is found when it counts anew.
type settledTasks struct {
	mu      sync.Mutex
	byQueue map[string][]string
	// next is when it is to be counted anew what is in flight.
	next map[string]time.Time
}

// isCountDue says whether to count now, and if so puts off the next time.
func (s *settledTasks) isCountDue(queue string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.next[queue]) {
		return false
	}
	job.SetLazily(&s.next, queue, now.Add(countPeriod))
	return true
}

// counted puts off the next count by what this one cost.
func (s *settledTasks) counted(queue string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	job.SetLazily(&s.next, queue, time.Now().Add(max(countPeriod, countShare*took)))
}

// Settled notes that a task is not in flight any more.
func (scheduler *Scheduler) Settled(lease job.Lease) {
	if lease.EntryID == "" || !scheduler.QueueSettings(lease.Queue).HasInFlightLimit() {
		return
	}
	s := &scheduler.inFlight
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byQueue == nil {
		s.byQueue = make(map[string][]string)
	}
	if len(s.byQueue[lease.Queue]) < job.MaxBatch {
		s.byQueue[lease.Queue] = append(s.byQueue[lease.Queue], lease.EntryID)
	}
	scheduler.due.set(0)
}

// take empties the collection.
func (s *settledTasks) take() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.byQueue
	s.byQueue = nil
	return all
}
