package notify

import (
	"math"
	"sync"
	"sync/atomic"
)

// Subscriptions fans out notifications to the subscriptions of each key. O identifies a
// subscription's owner, P is what a notification can carry. Changes of a key are pushed, while
// change notifications are enabled and the key is among those within the limit; of other keys they
// are found by polling. The methods are safe for concurrent use.
type Subscriptions[O, P any] struct {
	precedes func(a, b string) bool
	pushed   atomic.Bool

	mu    sync.Mutex
	first map[string]*Subscription[O, P] // key → the first subscription of a list
	// tracked is the number of keys that are not polled, limit how many there may be.
	tracked, limit int
	used           chan struct{} // holds one signal that there has been a subscription
}

// NewSubscriptions returns an empty set. precedes says whether entry a comes before entry b.
func NewSubscriptions[O, P any](precedes func(a, b string) bool) *Subscriptions[O, P] {
	return &Subscriptions[O, P]{precedes: precedes, first: make(map[string]*Subscription[O, P]), limit: math.MaxInt, used: make(chan struct{}, 1)}
}

// SetPushed says whether changes are pushed from now on.
func (s *Subscriptions[O, P]) SetPushed(pushed bool) { s.pushed.Store(pushed) }

// Pushed reports whether changes are pushed: then a writer need not notify the subscriptions of its
// own writes, because the push follows.
func (s *Subscriptions[O, P]) Pushed() bool { return s.pushed.Load() }

// Subscribe adds a subscription that knows the entries of its key up to position. The caller must
// call Unsubscribe.
func (s *Subscriptions[O, P]) Subscribe(sub *Subscription[O, P], position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.position = position
	switch sub.next = s.first[sub.Key]; {
	case sub.next != nil:
		sub.next.prev, sub.polled = sub, sub.next.polled
	case s.tracked >= s.limit:
		sub.polled = true
	default:
		s.tracked++
	}
	s.first[sub.Key] = sub
	signal(s.used)
}

// Unsubscribe removes a subscription. Its last notification may still be in its inbox.
func (s *Subscriptions[O, P]) Unsubscribe(sub *Subscription[O, P]) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sub.next != nil {
		sub.next.prev = sub.prev
	}
	switch {
	case sub.prev != nil:
		sub.prev.next = sub.next
	case sub.next != nil:
		s.first[sub.Key] = sub.next
	default:
		delete(s.first, sub.Key)
		if !sub.polled {
			s.tracked--
		}
	}
}

// Used receives a signal after a subscription was added.
func (s *Subscriptions[O, P]) Used() <-chan struct{} { return s.used }

// Len returns the number of keys that have subscriptions, and of those whose changes can be pushed.
func (s *Subscriptions[O, P]) Len() (keys, tracked int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.first), s.tracked
}

// Advance records that the subscriber knows the entries of its key up to position.
func (s *Subscriptions[O, P]) Advance(sub *Subscription[O, P], position string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub.position = position
}

// NotifyKey notifies the subscriptions of a key without a payload.
func (s *Subscriptions[O, P]) NotifyKey(key string) { s.Deliver(key, nil) }

// Deliver notifies the subscriptions of a key with a payload.
func (s *Subscriptions[O, P]) Deliver(key string, payload *P) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := s.first[key]; sub != nil; sub = sub.next {
		sub.deliver(payload)
	}
}

// DeliverValue is Deliver for a value, which it remembers. It returns the value that a subscription
// of the key got before, nil for none.
func (s *Subscriptions[O, P]) DeliverValue(key string, payload *P) (before *P) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := s.first[key]; sub != nil; sub = sub.next {
		if before == nil {
			before = sub.last
		}
		sub.last = payload
		sub.deliver(payload)
	}
	return before
}

// NotifyAll notifies all subscriptions without a payload: changes may have been missed.
func (s *Subscriptions[O, P]) NotifyAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sub := range s.first {
		for ; sub != nil; sub = sub.next {
			sub.Notify()
		}
	}
}

// A Change says what to do about a key that has changed.
type Change struct {
	// HasSubscriptions: there is something to do. IsValue: the key holds a value.
	HasSubscriptions, IsValue bool
	// Position is the entry up to which all subscriptions know the key.
	Position string
}

// Changed looks up a key whose change was pushed. Subscriptions of a polled key with entries are
// notified here: reading such a key for all of them would have its next change pushed again.
func (s *Subscriptions[O, P]) Changed(key string) Change {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.first[key]
	switch {
	case sub == nil:
		return Change{}
	case sub.polled && !sub.IsValue:
		for ; sub != nil; sub = sub.next {
			sub.Notify()
		}
		return Change{}
	}
	return Change{HasSubscriptions: true, IsValue: sub.IsValue, Position: s.leastPosition(sub)}
}

// leastPosition is the entry up to which all subscriptions from this one on know their key. It
// needs mu.
func (s *Subscriptions[O, P]) leastPosition(sub *Subscription[O, P]) string {
	least := sub.position
	for ; sub != nil; sub = sub.next {
		if s.precedes(sub.position, least) {
			least = sub.position
		}
	}
	return least
}
