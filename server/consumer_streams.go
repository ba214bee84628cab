package server

import (
	"slices"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// consumerStreams finds the Consume streams of a consumer. So a lease that is settled by a
// unary call returns its credit at once; otherwise it would wait for the next audit.
type consumerStreams struct {
	mu         sync.Mutex
	byConsumer map[consumerName][]*credit
}

type consumerName struct{ queue, group, consumer string }

func nameOf(l *job.Lease) consumerName { return consumerName{l.Queue, l.Group, l.Consumer} }

// add registers the credit of a stream. Remove it under the same name.
func (s *consumerStreams) add(name consumerName, c *credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byConsumer == nil {
		s.byConsumer = make(map[consumerName][]*credit)
	}
	s.byConsumer[name] = append(s.byConsumer[name], c)
}

func (s *consumerStreams) remove(name consumerName, c *credit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rest := slices.DeleteFunc(s.byConsumer[name], func(other *credit) bool { return other == c })
	if len(rest) == 0 {
		delete(s.byConsumer, name)
		return
	}
	s.byConsumer[name] = rest
}

// settle returns the credit of leases that were settled or lost. Tokens that are not valid are
// ignored.
func (s *consumerStreams) settle(tokens ...string) {
	if s.isEmpty() {
		return
	}
	for _, token := range tokens {
		lease, err := job.ParseLease(token)
		if err != nil {
			continue
		}
		for _, c := range s.of(nameOf(&lease)) {
			c.settle([]string{token})
		}
	}
}

func (s *consumerStreams) isEmpty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.byConsumer) == 0
}

func (s *consumerStreams) of(name consumerName) []*credit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.byConsumer[name])
}
