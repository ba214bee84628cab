package redis

import (
	"sync"
	"time"
)

// FairByOrganization is what QueueConfig.FairBy can be, beside "".
const FairByOrganization = fieldOrganizationID

// fairPeriod is how often tasks of fair queues are moved into their streams for raw
// workers; for others they are moved as they ask. countPeriod is how often it is counted
// anew what is in flight, because raw workers settle without a word, and servers die.
const (
	fairPeriod  = 100 * time.Millisecond
	countPeriod = time.Second
	// countShare is how many times as long as the last count nothing is counted.
	countShare = 50
)

// fairness is how a queue is fair, as lua/fair.lua takes it; "" when it isn't.
func (b *Broker) fairness(queue string) string {
	c := b.queueConfig(queue)
	if c.FairBy == "" {
		return ""
	}
	return string(marshal(map[string]any{"queue": queue, "group": b.config.DefaultGroup, "ahead": c.FairAhead,
		"weights": orEmpty(c.FairWeights), "limit": c.FairMaxInFlight, "limits": orEmpty(c.FairMaxInFlightOf)}))
}

// orEmpty makes a map an object in JSON in any case.
func orEmpty[V any](m map[string]V) map[string]V {
	if m == nil {
		return map[string]V{}
	}
	return m
}

// hasFlightLimit is true when it matters when a task is settled.
func (c QueueConfig) hasFlightLimit() bool {
	return c.FairBy != "" && (c.FairMaxInFlight > 0 || len(c.FairMaxInFlightOf) > 0)
}

func (c QueueConfig) validateFairness(field string) error {
	if c.FairBy != "" && c.FairBy != FairByOrganization {
		return invalid(field+".fair_by", "is %q, want %q, or nothing for first come, first served", c.FairBy, FairByOrganization)
	}
	if c.FairBy == "" && (c.FairAhead != 0 || c.FairMaxInFlight != 0 || c.FairWeights != nil || c.FairMaxInFlightOf != nil) {
		return invalid(field+".fair_by", "is needed by the other settings that begin with fair; want %q", FairByOrganization)
	}
	for org, weight := range c.FairWeights {
		if !(weight >= 0.001 && weight <= 1000) {
			return invalid(field+".fair_weights", "gives %q the weight %v, want 0.001 to 1000", clip(org), weight)
		}
	}
	for org, n := range c.FairMaxInFlightOf {
		if n < 0 || n > maxCount {
			return invalid(field+".fair_max_in_flight_of", "allows %q %d, want 1 to %d, or 0 for any number", clip(org), n, maxCount)
		}
	}
	if c.FairAhead < 0 || c.FairAhead > MaxBatch {
		return invalid(field+".fair_ahead", "is %d, want 1 to %d, or 0 for the default", c.FairAhead, MaxBatch)
	}
	return nil
}

// fairKeys are the keys that lua/fair.lua takes.
func (b *Broker) fairKeys(queue string) []string {
	return []string{b.keys.backlog(queue), b.keys.fairReady(queue), b.keys.fairParked(queue), b.keys.fairTags(queue),
		b.keys.fairHeld(queue), b.keys.delayedQueues()}
}

// fair are the keys and the argument by which a script knows whether a queue is fair.
func (b *Broker) fair(queue string) ([]string, string) {
	settings := b.fairness(queue)
	if settings == "" {
		return nil, ""
	}
	return b.fairKeys(queue), settings
}

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
	set(&s.next, queue, now.Add(countPeriod))
	return true
}

// counted puts off the next count by what this one cost.
func (s *settledTasks) counted(queue string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	set(&s.next, queue, time.Now().Add(max(countPeriod, countShare*took)))
}

// settled notes that a task is not in flight any more.
func (b *Broker) settled(lease Lease) {
	if lease.EntryID == "" || !b.queueConfig(lease.Queue).hasFlightLimit() {
		return
	}
	s := &b.settledTasks
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byQueue == nil {
		s.byQueue = make(map[string][]string)
	}
	if len(s.byQueue[lease.Queue]) < MaxBatch {
		s.byQueue[lease.Queue] = append(s.byQueue[lease.Queue], lease.EntryID)
	}
	b.due.set(0)
}

// take empties the collection.
func (s *settledTasks) take() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.byQueue
	s.byQueue = nil
	return all
}
