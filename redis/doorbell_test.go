package redis

import (
	"testing"
	"testing/synctest"
	"time"
)

// One who waits in lines of two doorbells, with one channel, hears of each line that rang,
// also when it is awake already; what it does not look into goes to the next in that line.
func TestOneWaitInTwoLines(t *testing.T) {
	t.Parallel()
	a, b := newDoorbell(), newDoorbell()
	rung := make(chan struct{}, 1)
	inA, inB := a.join("tasks", "g", rung), b.join("tasks", "g", rung)
	next := b.join("tasks", "g", make(chan struct{}, 1))
	defer next.leave()
	a.ringEach("tasks", 1)
	b.ringEach("tasks", 1)
	select {
	case <-rung:
	default:
		t.Fatal("it was not woken")
	}
	if !inA.heed() || inA.heed() {
		t.Error("the ring in the first line was not heard once")
	}
	select {
	case <-next.rung:
		t.Fatal("the next was woken, too")
	default:
	}
	inA.leave()
	inB.leave() // unheeded
	select {
	case <-next.rung:
	default:
		t.Error("the ring was not passed on")
	}
}

// isWoken says whether a place was woken, and takes note of it.
func (w *wait) isWoken() bool {
	select {
	case <-w.rung:
		return w.heed()
	default:
		return false
	}
}

// A worker for which a publisher reads is not deaf: when the publish hangs, it is woken for
// another task after a moment.
func TestRingDuringAnOfferIsHeardInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := newDoorbell()
		w := d.join("tasks", "g", make(chan struct{}, 1))
		defer w.leave()
		w.accept(&ReadRequest{})
		if offered, _ := d.offer("tasks"); offered != w {
			t.Fatal("nothing was offered")
		}
		d.ringNew("tasks", "5-0", 1)
		synctest.Wait()
		if w.isWoken() {
			t.Error("it was woken at once, before what is on offer can have come")
		}
		time.Sleep(offerPatience) // the bubble's clock
		synctest.Wait()
		if !w.isWoken() {
			t.Error("the ring was lost")
		}
		// What is on offer still comes.
		if !w.give(&newLease{}) || !w.isWoken() || w.take() == nil {
			t.Error("what was read for it was lost")
		}
	})
}

// A ring that passed by goes to the worker when there was nothing on offer after all, and to the
// next when the worker leaves.
func TestRingDuringAnOfferIsNotLost(t *testing.T) {
	t.Parallel()
	d := newDoorbell()
	w := d.join("tasks", "g", make(chan struct{}, 1))
	w.accept(&ReadRequest{})
	d.offer("tasks")
	d.ringLine("tasks", "g")
	if w.give(nil); !w.isWoken() {
		t.Error("the ring was lost with the offer")
	}
	w.accept(&ReadRequest{})
	d.offer("tasks")
	d.ringLine("tasks", "g")
	next := d.join("tasks", "g", make(chan struct{}, 1))
	defer next.leave()
	if w.leave(); !next.isWoken() {
		t.Error("the ring was lost with the worker")
	}
}
