package redis

import (
	"math"
	"strings"
	"sync"
	"time"
)

// Redis remembers a bounded number of tracked keys (tracking-table-max-keys, of all its
// clients together). Beyond it, it forgets some at random, and rings for them as if they had
// changed. They are read, which has Redis remember them again and forget others: without end.
// This is noticed by rings for keys that have nothing new; then fewer keys are tracked, and
// the others polled.

const (
	// It is a storm when most of so many rings were in vain, for each tracked key, within
	// stormPeriod. A raw peer that sets the TTL of all keys makes one such ring for each.
	stormRings  = 2
	leastRings  = 1000
	stormPeriod = 10 * time.Second
	// leastTracked is how many keys are tracked in any case.
	leastTracked = 100
	// growPeriod is how often more keys are tracked again, to see whether Redis remembers
	// them now.
	growPeriod = 10 * time.Minute
)

// vainRings counts rings of Redis, and those for keys that had nothing new.
type vainRings struct {
	mu          sync.Mutex
	since       time.Time
	rings, vain int
}

// count counts a ring, and says whether they are a storm when so many keys are tracked.
func (v *vainRings) count(isVain bool, tracked int, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.since) > stormPeriod {
		v.since, v.rings, v.vain = now, 0, 0
	}
	v.rings++
	if isVain {
		v.vain++
	}
	if v.rings < max(leastRings, stormRings*tracked) {
		return false
	}
	isStorm := v.vain > v.rings/10*9
	v.since, v.rings, v.vain = now, 0, 0
	return isStorm
}

// heard counts a ring of Redis for a key that is watched, and has fewer keys tracked when
// Redis can't remember them.
func (b *Broker) heard(isVain bool) {
	if keys, tracked := b.bell.keys(); b.vain.count(isVain, tracked, time.Now()) {
		tracked = b.bell.shrink()
		if !b.hasWarned.Swap(true) {
			b.log.Warn("Redis forgets which keys are tracked: raise its tracking-table-max-keys; until then some watches are polled, which is slower",
				"watched", keys, "tracked", tracked)
		}
	}
}

// isOld is true of an answer without anything that those who asked don't know.
func (r keyRead) isOld(raw string) bool {
	if r.from == firstCursor {
		return strings.HasPrefix(raw, "*0\r\n")
	}
	return strings.HasPrefix(raw, "*1\r\n")
}

// keys says how many keys have ears, and how many of these are tracked.
func (d *doorbell) keys() (all, tracked int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ears), d.tracked
}

// isPolled is true of a key that Redis is not asked to ring for. The caller holds mu.
func (d *doorbell) isPolled(key string) bool {
	e := d.ears[key]
	return e != nil && e.isPolled
}

// divide divides keys, by their numbers, into those that are read over the tracker and others.
func (d *doorbell) divide(isTracking bool, n int, key func(int) string) (tracked, others []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range n {
		if isTracking && !d.isPolled(key(i)) {
			tracked = append(tracked, i)
		} else {
			others = append(others, i)
		}
	}
	return tracked, others
}

// setPolled changes for a key whether it is polled, and has all who listen look. The caller
// holds mu.
func (d *doorbell) setPolled(first *ear, isPolled bool) {
	if isPolled {
		d.tracked--
	} else {
		d.tracked++
	}
	for e := first; e != nil; e = e.next {
		e.isPolled = isPolled
		e.ring()
	}
}

// shrink halves how many keys are tracked, and says how many that is.
func (d *doorbell) shrink() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = max(leastTracked, d.tracked/2)
	for _, e := range d.ears {
		if d.tracked <= d.limit {
			break
		}
		if !e.isPolled {
			d.setPolled(e, true)
		}
	}
	return d.tracked
}

// grow doubles how many keys may be tracked, if that is limited.
func (d *doorbell) grow() {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.limit == math.MaxInt:
		return
	case d.limit >= len(d.ears):
		d.limit = math.MaxInt
	default:
		d.limit *= 2
	}
	for _, e := range d.ears {
		if d.tracked >= d.limit {
			break
		}
		if e.isPolled {
			d.setPolled(e, false)
		}
	}
}

// ringPolled wakes the ears of the streams that are polled though Redis rings.
func (d *doorbell) ringPolled() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.tracked == len(d.ears) {
		return
	}
	for _, e := range d.ears {
		for ; e != nil && e.isPolled && !e.isState; e = e.next {
			e.ring()
		}
	}
}
