package notify

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

type (
	request struct{ max int }
	grant   struct{ entry string }
)

func numbers(a, b string) bool {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x < y
}

func newTestLists() *Waitlists[request, grant] { return NewWaitlists[request, grant](numbers) }

// isAwake reports whether the waiter got a signal and was notified, and consumes both.
func isAwake(w *Waiter[request, grant]) bool {
	select {
	case <-w.signal.C:
		return w.Consume()
	default:
		return false
	}
}

func TestFirstWaiterOfEachGroupIsWokenFirst(t *testing.T) {
	t.Parallel()
	l := newTestLists()
	first, second := l.Enqueue("tasks", "g", NewSignal()), l.Enqueue("tasks", "g", NewSignal())
	other := l.Enqueue("tasks", "h", NewSignal())
	elsewhere := l.Enqueue("others", "g", NewSignal())
	l.NotifyEach("tasks", 1)
	if got := []bool{isAwake(first), isAwake(second), isAwake(other), isAwake(elsewhere)}; got[0] != true || got[1] || !got[2] || got[3] {
		t.Errorf("awake: %v, want the first of each group of the key", got)
	}
	l.NotifyGroup("tasks", "g")
	if isAwake(other) || !isAwake(first) {
		t.Error("want only the first waiter of the named group awake")
	}
	for _, w := range []*Waiter[request, grant]{first, second, other, elsewhere} {
		w.Leave()
	}
	if l.Len() != 0 || l.Has("tasks") {
		t.Errorf("%d waiters are left, want none", l.Len())
	}
}

func TestEntryWakesWaitersOnce(t *testing.T) {
	t.Parallel()
	l := newTestLists()
	w := l.Enqueue("tasks", "g", NewSignal())
	defer w.Leave()
	l.NotifyNew("tasks", "5", 1)
	if !isAwake(w) {
		t.Error("a new entry did not wake the waiter")
	}
	l.NotifyNew("tasks", "5", 1)
	l.NotifyNew("tasks", "4", 1)
	if isAwake(w) {
		t.Error("an entry that the waiter was notified of woke it again")
	}
	l.Note("tasks", "6")
	if l.NotifyNew("tasks", "6", 1); isAwake(w) {
		t.Error("a noted entry woke the waiter")
	}
	if l.Reset(); !isAwake(w) {
		t.Error("Reset did not wake the waiter")
	}
	if l.NotifyNew("tasks", "5", 1); !isAwake(w) {
		t.Error("after Reset an old entry did not wake the waiter")
	}
}

func TestOneWaiterInTwoWaitlists(t *testing.T) {
	t.Parallel()
	a, b := newTestLists(), newTestLists()
	signal := NewSignal()
	inA, inB := a.Enqueue("tasks", "g", signal), b.Enqueue("tasks", "g", signal)
	next := b.Enqueue("tasks", "g", NewSignal())
	defer next.Leave()
	a.NotifyEach("tasks", 1)
	b.NotifyEach("tasks", 1)
	select {
	case <-signal.C:
	default:
		t.Fatal("no signal for two notifications")
	}
	if !inA.Consume() || inA.Consume() {
		t.Error("the notification in the first waitlist was not consumed exactly once")
	}
	if isAwake(next) {
		t.Fatal("the next waiter was woken too")
	}
	inA.Leave()
	inB.Leave() // its notification is not consumed
	if !isAwake(next) {
		t.Error("a notification that was not consumed did not go to the next waiter")
	}
}

func TestWaiterInTwoWaitlistsHasOneOffer(t *testing.T) {
	t.Parallel()
	a, b := newTestLists(), newTestLists()
	signal := NewSignal()
	inA, inB := a.Enqueue("tasks", "g", signal), b.Enqueue("tasks", "g", signal)
	defer inA.Leave()
	defer inB.Leave()
	inA.Accept(&request{})
	inB.Accept(&request{})
	offered, _ := a.Offer("tasks")
	if offered != inA {
		t.Fatal("no offer to a waiter that accepts")
	}
	if second, _ := b.Offer("tasks"); second != nil {
		t.Error("a second offer while the first has no grant")
	}
	offered.Grant(nil)
	if second, _ := b.Offer("tasks"); second != inB {
		t.Error("no offer after the first came to nothing")
	}
	inB.Grant(nil)
}

func TestOfferNeedsOneGroup(t *testing.T) {
	t.Parallel()
	l := newTestLists()
	w := l.Enqueue("tasks", "g", NewSignal())
	defer w.Leave()
	if offered, _ := l.Offer("tasks"); offered != nil {
		t.Error("an offer to a waiter that accepts none")
	}
	w.Accept(&request{max: 7})
	other := l.Enqueue("tasks", "h", NewSignal())
	if offered, _ := l.Offer("tasks"); offered != nil {
		t.Error("an offer although the entry is for two groups")
	}
	other.Leave()
	offered, r := l.Offer("tasks")
	if offered != w || r.max != 7 {
		t.Fatal("no offer of what the waiter requests")
	}
	if !w.Grant(&grant{"5"}) || !isAwake(w) {
		t.Error("the grant did not wake the waiter")
	}
	if g := w.Take(); g == nil || g.entry != "5" || w.Take() != nil {
		t.Error("the grant was not taken exactly once")
	}
}

// A waiter with an offer is not deaf: when the publisher hangs, another entry wakes it after a moment.
func TestNotificationDuringAnOfferComesInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newTestLists()
		w := l.Enqueue("tasks", "g", NewSignal())
		defer w.Leave()
		w.Accept(&request{})
		if offered, _ := l.Offer("tasks"); offered != w {
			t.Fatal("nothing was offered")
		}
		l.NotifyNew("tasks", "5", 1)
		synctest.Wait()
		if isAwake(w) {
			t.Error("the waiter was woken at once, before its offer can have ended")
		}
		time.Sleep(offerTimeout) // the bubble's clock
		synctest.Wait()
		if !isAwake(w) {
			t.Error("the notification was lost")
		}
		if !w.Grant(&grant{}) || !isAwake(w) || w.Take() == nil {
			t.Error("the late grant was lost")
		}
	})
}

func TestNotificationDuringAnOfferIsNotLost(t *testing.T) {
	t.Parallel()
	l := newTestLists()
	w := l.Enqueue("tasks", "g", NewSignal())
	w.Accept(&request{})
	l.Offer("tasks")
	l.NotifyGroup("tasks", "g")
	if w.Grant(nil); !isAwake(w) {
		t.Error("the notification was lost with an offer that came to nothing")
	}
	w.Accept(&request{})
	l.Offer("tasks")
	l.NotifyGroup("tasks", "g")
	next := l.Enqueue("tasks", "g", NewSignal())
	defer next.Leave()
	if w.Leave(); !isAwake(next) {
		t.Error("the notification was lost with a waiter that left")
	}
	if w.Grant(&grant{}) {
		t.Error("a waiter that left took a grant")
	}
}

func TestKeysAreArmedOnce(t *testing.T) {
	t.Parallel()
	l := newTestLists()
	w := l.Enqueue("tasks", "g", NewSignal())
	defer w.Leave()
	l.Disarm("idle")
	select {
	case <-l.Arm():
	default:
		t.Fatal("no signal that there are unarmed keys")
	}
	if keys := l.Unarmed(); len(keys) != 1 || keys[0] != "tasks" {
		t.Errorf("unarmed %v, want the key that has a waiter", keys)
	}
	if keys := l.Unarmed(); keys != nil {
		t.Errorf("unarmed again: %v", keys)
	}
}
