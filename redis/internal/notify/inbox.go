package notify

import "sync"

// Inbox collects the notified subscriptions of one goroutine.
type Inbox[O, P any] struct {
	mu       sync.Mutex
	notified []*Subscription[O, P]
	mail     chan struct{} // holds one signal that there are some
}

// NewInbox returns an empty inbox.
func NewInbox[O, P any]() *Inbox[O, P] { return &Inbox[O, P]{mail: make(chan struct{}, 1)} }

// Mail receives a signal when Take may return something.
func (i *Inbox[O, P]) Mail() <-chan struct{} { return i.mail }

// Notification is a subscription that was notified. Payload is what its key holds, nil when the
// subscriber must read that itself.
type Notification[O, P any] struct {
	*Subscription[O, P]
	Payload *P
}

// Take removes up to n notifications, oldest first.
func (i *Inbox[O, P]) Take(n int) []Notification[O, P] {
	i.mu.Lock()
	defer i.mu.Unlock()
	n = min(n, len(i.notified))
	taken := make([]Notification[O, P], n)
	for at, s := range i.notified[:n] {
		taken[at] = Notification[O, P]{s, s.payload}
		s.notified, s.payload = false, nil
	}
	if i.notified = i.notified[n:]; len(i.notified) == 0 {
		i.notified = nil
	} else {
		signal(i.mail)
	}
	return taken
}

// Subscription is a subscription to one key. Its exported fields are set before Subscribe and not
// changed afterwards.
type Subscription[O, P any] struct {
	Inbox *Inbox[O, P]
	Key   string
	Owner O
	// IsValue: the key holds one value that is read as a whole, not entries.
	IsValue bool

	// Guarded by Subscriptions.mu.

	prev, next *Subscription[O, P] // of the same key
	position   string              // the last entry that the subscriber knows
	last       *P                  // what was delivered last, of a value
	polled     bool                // changes of the key are found by polling

	// Guarded by Inbox.mu.

	notified bool
	payload  *P
}

// Notify puts the subscription into its inbox without a payload: the subscriber reads the key.
func (s *Subscription[O, P]) Notify() { s.deliver(nil) }

// deliver puts the subscription into its inbox. A pending re-read is never downgraded to a payload,
// which may be older than what the re-read is for.
func (s *Subscription[O, P]) deliver(payload *P) {
	s.Inbox.mu.Lock()
	defer s.Inbox.mu.Unlock()
	if s.notified {
		if s.payload != nil {
			s.payload = payload
		}
		return
	}
	s.notified, s.payload = true, payload
	s.Inbox.notified = append(s.Inbox.notified, s)
	signal(s.Inbox.mail)
}
