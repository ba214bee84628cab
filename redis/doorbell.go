package redis

import (
	"container/list"
	"math"
	"sync"
)

// doorbell wakes those who wait for a key. A ring means "look", never "here it is":
// whoever waits registers first, then looks, then waits, so no ring is missed; and a
// ring too many costs one look. It never blocks.
//
// Workers wait for a task stream in lines, one for each consumer group, in the order of
// their arrival; a ring wakes as many as there may be entries. Watches listen for
// completion streams and states with ears, which all hear a ring.
type doorbell struct {
	mu    sync.Mutex
	lines map[string]map[string]*list.List // key → group → *wait
	ears  map[string]*ear                  // key → the first of a list
	// tracked is for how many keys with ears Redis is asked to ring, limit for how many it may
	// be; the others are polled.
	tracked, limit int
	// unarmed are the task streams whose change may not be heard.
	unarmed map[string]bool
	// last is the newest entry of each task stream that someone was woken for.
	last map[string]string
	arm  chan struct{} // holds one signal that there are unarmed streams
	// busy holds one signal that there may be someone who waits.
	busy chan struct{}
}

func newDoorbell() *doorbell {
	return &doorbell{lines: make(map[string]map[string]*list.List), ears: make(map[string]*ear), limit: math.MaxInt,
		unarmed: make(map[string]bool), last: make(map[string]string), arm: make(chan struct{}, 1), busy: make(chan struct{}, 1)}
}

// signal puts a signal into a channel that holds one.
func signal(c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	default:
		return false
	}
}

// disarm notes that a change of a task stream may not be heard.
func (d *doorbell) disarm(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unarm(key)
}

// unarm is disarm for a caller that holds mu.
func (d *doorbell) unarm(key string) {
	d.unarmed[key] = true
	signal(d.arm)
}

// disarmed takes the streams that are to be armed: those that are waited for.
func (d *doorbell) disarmed() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []string
	for key := range d.unarmed {
		if d.lines[key] != nil {
			keys = append(keys, key)
		}
	}
	clear(d.unarmed)
	return keys
}

// changed says what to read of keys that someone has written to: of a stream that is watched
// what all who watch it don't know, of a task stream that is waited for its last entry. States
// that are watched are read in their own way.
func (d *doorbell) changed(keys []string) (reads []keyRead, states []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		switch e := d.ears[key]; {
		case e == nil:
		case e.isPolled && !e.isState: // it was not, and reading it there would have it ring again
			for ; e != nil; e = e.next {
				e.ring()
			}
		case e.isState:
			states = append(states, key)
		default:
			reads = append(reads, keyRead{key: key, from: e.leastSeen(), count: firstEvents})
		}
		if d.lines[key] != nil {
			reads = append(reads, keyRead{key: key, from: newest, count: 1})
		}
	}
	return reads, states
}

// ringEverything wakes whoever waits for anything: rings may have been missed.
func (d *doorbell) ringEverything() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.ears {
		for ; e != nil; e = e.next {
			e.ring()
		}
	}
	clear(d.last)
	for key := range d.lines {
		d.unarm(key)
	}
	for _, lines := range d.lines {
		for _, line := range lines {
			ringFirst(line, 1)
		}
	}
}

// waiters counts the workers in lines.
func (d *doorbell) waiters() (workers int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, lines := range d.lines {
		for _, line := range lines {
			workers += line.Len()
		}
	}
	return workers
}
