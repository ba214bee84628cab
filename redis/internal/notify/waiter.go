package notify

import (
	"container/list"
	"sync/atomic"
	"time"
)

// Signal wakes one goroutine that waits in one waitlist, or in several at a time.
type Signal struct {
	// C receives when one of the waiters was notified.
	C chan struct{}
	// held: one of the waiters has an offer, or a grant that was not taken. It gets no second one,
	// which would be in vain.
	held atomic.Bool
}

// NewSignal returns a signal that was not sent.
func NewSignal() *Signal { return &Signal{C: make(chan struct{}, 1)} }

func (s *Signal) hold() bool { return s.held.CompareAndSwap(false, true) }

// Waiter is a place in a waitlist.
type Waiter[R, G any] struct {
	lists      *Waitlists[R, G]
	key, group string
	element    *list.Element
	signal     *Signal

	// The following are guarded by lists.mu.

	// request is what a publisher may fetch on the waiter's behalf, nil for nothing.
	request *R
	granted *G
	// notified: it was notified and has not consumed that. offered: an Offer of it has no Grant yet.
	notified, offered, left bool
	// postponed: a notification waits for the offer.
	postponed bool
}

// offerTimeout is how long a notification waits for an offer. An offer usually ends with the answer
// to a publish. When that takes longer, the waiter looks for itself; the grant comes later.
const offerTimeout = 50 * time.Millisecond

// Accept lets a publisher fetch the request on this waiter's behalf until the waiter next consumes
// a notification.
func (w *Waiter[R, G]) Accept(request *R) {
	w.lists.mu.Lock()
	defer w.lists.mu.Unlock()
	w.request = request
}

// Consume reports whether this waiter was notified, and clears the notification.
func (w *Waiter[R, G]) Consume() bool {
	w.lists.mu.Lock()
	defer w.lists.mu.Unlock()
	notified := w.notified
	w.notified, w.postponed, w.request = false, false, nil
	return notified
}

// Grant ends an offer with what was fetched, nil for nothing, and wakes the waiter. It returns
// false when the waiter has left: then the caller keeps what it fetched.
func (w *Waiter[R, G]) Grant(granted *G) bool {
	w.lists.mu.Lock()
	defer w.lists.mu.Unlock()
	if w.offered = false; granted == nil {
		w.signal.held.Store(false)
	}
	if w.left {
		return false
	}
	if w.granted = granted; granted != nil || w.postponed {
		w.notify()
	}
	return true
}

// Take returns what was granted, once; nil for nothing.
func (w *Waiter[R, G]) Take() *G {
	w.lists.mu.Lock()
	defer w.lists.mu.Unlock()
	granted := w.granted
	if w.granted = nil; granted != nil {
		w.signal.held.Store(false)
	}
	return granted
}

// Leave removes the waiter. A notification that it has not consumed goes to the next waiter: it may
// be for an entry that is still there. The caller must call Take afterwards.
func (w *Waiter[R, G]) Leave() {
	l := w.lists
	l.mu.Lock()
	defer l.mu.Unlock()
	waiters := l.lists[w.key][w.group]
	waiters.Remove(w.element)
	if w.left = true; w.notified || w.postponed {
		notifyFirst[R, G](waiters, 1)
	}
	if waiters.Len() == 0 {
		delete(l.lists[w.key], w.group)
	}
	if len(l.lists[w.key]) == 0 {
		delete(l.lists, w.key)
	}
}

// The following need lists.mu.

func (w *Waiter[R, G]) notify() {
	w.notified, w.postponed = true, false
	signal(w.signal.C)
}

// postpone keeps a notification until the offer ends, or takes longer than offerTimeout.
func (w *Waiter[R, G]) postpone() {
	if w.postponed {
		return
	}
	w.postponed = true
	time.AfterFunc(offerTimeout, func() {
		w.lists.mu.Lock()
		defer w.lists.mu.Unlock()
		if w.postponed && !w.left {
			w.notify()
		}
	})
}
