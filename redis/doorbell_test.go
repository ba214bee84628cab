package redis

import "testing"

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
