package notify

import "math"

// minTracked is how many keys are tracked in any case.
const minTracked = 100

// Position is a key and the entry up to which all its subscriptions know it.
type Position struct{ Key, Entry string }

// PolledEntries returns the keys with entries that must be polled: all of them, or while changes
// are pushed those that are beyond the limit.
func (s *Subscriptions[O, P]) PolledEntries(isPushed bool) (all []Position) {
	s.eachPolled(isPushed, func(sub *Subscription[O, P]) {
		if !sub.IsValue {
			all = append(all, Position{sub.Key, s.leastPosition(sub)})
		}
	})
	return all
}

// PolledValues returns the keys with values that must be polled, as PolledEntries does.
func (s *Subscriptions[O, P]) PolledValues(isPushed bool) (all []string) {
	s.eachPolled(isPushed, func(sub *Subscription[O, P]) {
		if sub.IsValue {
			all = append(all, sub.Key)
		}
	})
	return all
}

// NotifyPolled notifies the subscriptions of keys with entries that are beyond the limit.
func (s *Subscriptions[O, P]) NotifyPolled() {
	s.eachPolled(true, func(sub *Subscription[O, P]) {
		for ; sub != nil && !sub.IsValue; sub = sub.next {
			sub.Notify()
		}
	})
}

// eachPolled calls visit with the first subscription of each key that must be polled.
func (s *Subscriptions[O, P]) eachPolled(isPushed bool, visit func(*Subscription[O, P])) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if isPushed && s.tracked == len(s.first) {
		return
	}
	for _, sub := range s.first {
		if sub.polled || !isPushed {
			visit(sub)
		}
	}
}

// Divide divides n keys, by their indexes, into those whose changes are pushed and those that must
// be polled.
func (s *Subscriptions[O, P]) Divide(isPushed bool, n int, key func(int) string) (pushed, polled []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range n {
		if sub := s.first[key(i)]; isPushed && (sub == nil || !sub.polled) {
			pushed = append(pushed, i)
		} else {
			polled = append(polled, i)
		}
	}
	return pushed, polled
}

// Shrink halves the number of tracked keys and returns it. What is polled from now on is notified.
func (s *Subscriptions[O, P]) Shrink() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limit = max(minTracked, s.tracked/2)
	for _, sub := range s.first {
		if s.tracked <= s.limit {
			break
		}
		if !sub.polled {
			s.setPolled(sub, true)
		}
	}
	return s.tracked
}

// Grow doubles how many keys may be tracked, if that is limited.
func (s *Subscriptions[O, P]) Grow() {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.limit == math.MaxInt:
		return
	case s.limit >= len(s.first):
		s.limit = math.MaxInt
	default:
		s.limit *= 2
	}
	for _, sub := range s.first {
		if s.tracked >= s.limit {
			break
		}
		if sub.polled {
			s.setPolled(sub, false)
		}
	}
}

// setPolled says for a key whether it is polled, and notifies its subscriptions. It needs mu.
func (s *Subscriptions[O, P]) setPolled(sub *Subscription[O, P], polled bool) {
	if polled {
		s.tracked--
	} else {
		s.tracked++
	}
	for ; sub != nil; sub = sub.next {
		sub.polled = polled
		sub.Notify()
	}
}
