package server

import (
	"slices"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis"
)

// streams finds the Consume streams of a consumer, so that what is settled by calls of their
// own gives its credit back at once; else the next audit would find it.
type streams struct {
	mu sync.Mutex
	of map[consumerName][]*credit
}

type consumerName struct{ queue, group, consumer string }

func nameOf(l *redis.Lease) consumerName { return consumerName{l.Queue, l.Group, l.Consumer} }

// add notes a stream that was given a lease. It must be removed under the same name.
func (s *streams) add(name consumerName, c *credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.of == nil {
		s.of = make(map[consumerName][]*credit)
	}
	s.of[name] = append(s.of[name], c)
}

func (s *streams) remove(name consumerName, c *credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.of[name], func(other *credit) bool { return other == c })
	if len(rest) == 0 {
		delete(s.of, name)
		return
	}
	s.of[name] = rest
}

// settled gives back the credit of leases that are settled, or lost.
func (s *streams) settled(tokens ...string) {
	s.mu.Lock()
	isEmpty := len(s.of) == 0
	s.mu.Unlock()
	if isEmpty {
		return
	}
	for _, token := range tokens {
		lease, err := redis.ParseLease(token)
		if err != nil {
			continue
		}
		s.mu.Lock()
		credits := slices.Clone(s.of[nameOf(&lease)])
		s.mu.Unlock()
		for _, c := range credits {
			c.settled([]string{token})
		}
	}
}
