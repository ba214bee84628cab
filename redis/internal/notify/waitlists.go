package notify

import (
	"container/list"
	"sync"
)

// Waitlists holds the waiters of task streams, in the order of their arrival: one waitlist for each
// key and group. R is what a waiter requests, G what it can be granted. The methods are safe for
// concurrent use.
type Waitlists[R, G any] struct {
	precedes func(a, b string) bool

	mu    sync.Mutex
	lists map[string]map[string]*list.List // key → group → *Waiter[R, G]
	// newest is the newest entry of each key that a waiter was notified of.
	newest map[string]string
	// unarmed are the keys whose next change may not be noticed.
	unarmed map[string]bool
	arm     chan struct{} // holds one signal that there are unarmed keys
	used    chan struct{} // holds one signal that there has been a waiter
}

// maxNewest bounds how many keys newest remembers; forgetting one costs a needless wake-up.
const maxNewest = 10_000

// NewWaitlists returns empty waitlists. precedes says whether entry a comes before entry b; "" is
// before every entry.
func NewWaitlists[R, G any](precedes func(a, b string) bool) *Waitlists[R, G] {
	return &Waitlists[R, G]{precedes: precedes, lists: make(map[string]map[string]*list.List), newest: make(map[string]string),
		unarmed: make(map[string]bool), arm: make(chan struct{}, 1), used: make(chan struct{}, 1)}
}

// Enqueue adds a waiter at the end of a waitlist. A notification of it sends a signal. The caller
// must call Leave.
func (l *Waitlists[R, G]) Enqueue(key, group string, s *Signal) *Waiter[R, G] {
	l.mu.Lock()
	defer l.mu.Unlock()
	groups := l.lists[key]
	if groups == nil {
		groups = make(map[string]*list.List)
		l.lists[key] = groups
		l.disarm(key)
	}
	if groups[group] == nil {
		groups[group] = list.New()
	}
	w := &Waiter[R, G]{lists: l, key: key, group: group, signal: s}
	w.element = groups[group].PushBack(w)
	signal(l.used)
	return w
}

// Used receives a signal after a waiter was added.
func (l *Waitlists[R, G]) Used() <-chan struct{} { return l.used }

// Has reports whether the key has waiters.
func (l *Waitlists[R, G]) Has(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lists[key] != nil
}

// Len counts the waiters.
func (l *Waitlists[R, G]) Len() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, groups := range l.lists {
		for _, waiters := range groups {
			n += waiters.Len()
		}
	}
	return n
}

// Offer picks the waiter that a notification for a new entry of the key would wake, so that what it
// requests can be fetched for it in the round trip that adds the entry. It returns nil unless all
// waiters of the key are of one group and one of them accepts. The caller must call Grant.
func (l *Waitlists[R, G]) Offer(key string) (w *Waiter[R, G], request R) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.lists[key]) != 1 {
		return nil, request
	}
	for _, waiters := range l.lists[key] {
		for e := waiters.Front(); e != nil; e = e.Next() {
			if w := e.Value.(*Waiter[R, G]); w.request != nil && !w.notified && !w.offered && w.signal.hold() {
				w.offered = true
				return w, *w.request
			}
		}
	}
	return nil, request
}

// NotifyEach wakes the first n waiters of each group of the key that are not awake yet.
func (l *Waitlists[R, G]) NotifyEach(key string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notifyEach(key, n)
}

// NotifyNew is NotifyEach for n new entries up to one, unless the waiters were notified of it
// before. A reader that fills its batch wakes the next waiter, so n may be an underestimate.
func (l *Waitlists[R, G]) NotifyNew(key, entry string, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.note(key, entry) {
		l.notifyEach(key, n)
	}
}

// Note records that a waiter was notified of an entry in another way.
func (l *Waitlists[R, G]) Note(key, entry string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(key, entry)
}

// NotifyGroup wakes the first waiter of one group.
func (l *Waitlists[R, G]) NotifyGroup(key, group string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiters := l.lists[key][group]; waiters != nil {
		notifyFirst[R, G](waiters, 1)
	}
}

// NotifyAll wakes the first waiter of every waitlist and returns the number of waitlists.
func (l *Waitlists[R, G]) NotifyAll() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.notifyAll()
}

// Reset is NotifyAll after changes may have been missed: it forgets which entries the waiters were
// notified of, and every key must be armed again.
func (l *Waitlists[R, G]) Reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.newest)
	for key := range l.lists {
		l.disarm(key)
	}
	l.notifyAll()
}

// Disarm records that the next change of the key may not be noticed.
func (l *Waitlists[R, G]) Disarm(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.disarm(key)
}

// Arm receives a signal when there may be unarmed keys.
func (l *Waitlists[R, G]) Arm() <-chan struct{} { return l.arm }

// Unarmed returns the unarmed keys that have waiters, and takes them as armed from now on.
func (l *Waitlists[R, G]) Unarmed() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var keys []string
	for key := range l.unarmed {
		if l.lists[key] != nil {
			keys = append(keys, key)
		}
	}
	clear(l.unarmed)
	return keys
}

// The following need mu.

func (l *Waitlists[R, G]) disarm(key string) {
	l.unarmed[key] = true
	signal(l.arm)
}

// note reports whether the entry is newer than the newest one, and if so takes its place.
func (l *Waitlists[R, G]) note(key, entry string) bool {
	if !l.precedes(l.newest[key], entry) {
		return false
	}
	if len(l.newest) >= maxNewest {
		clear(l.newest)
	}
	l.newest[key] = entry
	return true
}

func (l *Waitlists[R, G]) notifyEach(key string, n int) {
	for _, waiters := range l.lists[key] {
		notifyFirst[R, G](waiters, n)
	}
}

func (l *Waitlists[R, G]) notifyAll() (n int) {
	for _, groups := range l.lists {
		for _, waiters := range groups {
			notifyFirst[R, G](waiters, 1)
			n++
		}
	}
	return n
}

// notifyFirst wakes the first n waiters. Where there are fewer besides those that have an offer,
// these are woken once the offer takes long.
func notifyFirst[R, G any](waiters *list.List, n int) {
	for e := waiters.Front(); e != nil && n > 0; e = e.Next() {
		if w := e.Value.(*Waiter[R, G]); !w.notified && !w.offered {
			w.notify()
			n--
		}
	}
	for e := waiters.Front(); e != nil && n > 0; e = e.Next() {
		if w := e.Value.(*Waiter[R, G]); !w.notified && w.offered {
			w.postpone()
			n--
		}
	}
}
