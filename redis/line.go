package redis

import (
	"container/list"
	"time"
)

// wait is a place in a line. Who waits in several lines, of several doorbells, does so
// with one channel.
type wait struct {
	bell       *doorbell
	key, group string
	place      *list.Element
	rung       chan struct{} // holds one ring
	// Guarded by bell.mu:
	isRung bool // the ring came by this line
	// wants is what it would read, nil if nobody else may read for it; isOffered is true while
	// someone does, and given is what he got.
	wants              *ReadRequest
	isOffered, hasLeft bool
	given              *newLease
	// hasMissed: a ring passed it by, because something was on offer to it.
	hasMissed bool
}

// offerPatience is how long a ring waits for what is on offer to a worker. Usually that comes
// with the answer to a publish. When it takes longer, the worker looks for itself, and what was
// read for it comes later.
const offerPatience = 50 * time.Millisecond

// join takes the last place in a line, to be woken by a channel that holds one ring. The
// caller must leave.
func (d *doorbell) join(key, group string, rung chan struct{}) *wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines[key]
	if lines == nil {
		lines = make(map[string]*list.List)
		d.lines[key] = lines
		d.unarm(key)
	}
	if lines[group] == nil {
		lines[group] = list.New()
	}
	w := &wait{bell: d, key: key, group: group, rung: rung}
	w.place = lines[group].PushBack(w)
	signal(d.busy)
	return w
}

// accept lets others read for who waits, until he heeds a ring.
func (w *wait) accept(r *ReadRequest) {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	w.wants = r
}

// heed says whether a ring came by this line, and takes note that it is looked into.
func (w *wait) heed() bool {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	was := w.isRung
	w.isRung, w.hasMissed, w.wants = false, false, nil
	return was
}

// offer finds who would be woken for an entry of a task stream, so that what he wants is
// read for him in the round trip that adds the entry: nil unless all who wait are of one
// group. It must be given what was read.
func (d *doorbell) offer(key string) (who *wait, wants ReadRequest) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.lines[key]) != 1 {
		return nil, wants
	}
	for _, line := range d.lines[key] {
		for e := line.Front(); e != nil; e = e.Next() {
			if w := e.Value.(*wait); w.wants != nil && !w.isRung && !w.isOffered {
				w.isOffered = true
				return w, *w.wants
			}
		}
	}
	return nil, wants
}

// give ends an offer, and wakes who waits with what was read for him, nil if nothing was;
// false when he left.
func (w *wait) give(l *newLease) bool {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	if w.isOffered = false; w.hasLeft {
		return false
	}
	if w.given = l; l != nil || w.hasMissed {
		w.wake()
	}
	return true
}

// wake rings for one place. The caller holds mu.
func (w *wait) wake() {
	w.isRung, w.hasMissed = true, false
	signal(w.rung) // it may be awake already, for another line
}

// miss notes that a ring passed by the place. If what is on offer does not come in time, it is
// woken all the same. The caller holds mu.
func (w *wait) miss() {
	if w.hasMissed {
		return
	}
	w.hasMissed = true
	time.AfterFunc(offerPatience, func() {
		w.bell.mu.Lock()
		defer w.bell.mu.Unlock()
		if w.hasMissed && !w.hasLeft {
			w.wake()
		}
	})
}

// take returns what someone read for him, once.
func (w *wait) take() *newLease {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	given := w.given
	w.given = nil
	return given
}

// leave gives up the place. A ring that was not heeded goes to the next in line: it may
// have been for an entry that is still there.
func (w *wait) leave() {
	d := w.bell
	d.mu.Lock()
	defer d.mu.Unlock()
	line := d.lines[w.key][w.group]
	line.Remove(w.place)
	if w.hasLeft = true; w.isRung || w.hasMissed {
		ringFirst(line, 1)
	}
	if line.Len() == 0 {
		delete(d.lines[w.key], w.group)
	}
	if len(d.lines[w.key]) == 0 {
		delete(d.lines, w.key)
	}
}

// ringEach wakes the first n of each line of a task stream who are not awake already.
func (d *doorbell) ringEach(key string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.lines[key] {
		ringFirst(line, n)
	}
}

// ringNew wakes the first n of each line for entries up to id, unless it was done before.
// Whoever gets as much as he wants wakes the next, so n need not be exact.
func (d *doorbell) ringNew(key, id string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !cursorLess(d.last[key], id) {
		return
	}
	d.saw(key, id)
	for _, line := range d.lines[key] {
		ringFirst(line, n)
	}
}

// rangFor notes that someone was woken for an entry.
func (d *doorbell) rangFor(key, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cursorLess(d.last[key], id) {
		d.saw(key, id)
	}
}

// saw notes an entry that someone was woken for. The caller holds mu.
func (d *doorbell) saw(key, id string) {
	if len(d.last) >= 10000 { // forget; waking someone in vain does no harm
		clear(d.last)
	}
	d.last[key] = id
}

// ringLine wakes the first of one line.
func (d *doorbell) ringLine(key, group string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if line := d.lines[key][group]; line != nil {
		ringFirst(line, 1)
	}
}

// ringFirst wakes the first n of a line. Where there are fewer, besides those to which something
// is on offer, these are woken if that takes long.
func ringFirst(line *list.List, n int) {
	for e := line.Front(); e != nil && n > 0; e = e.Next() {
		if w := e.Value.(*wait); !w.isRung && !w.isOffered {
			w.wake()
			n--
		}
	}
	for e := line.Front(); e != nil && n > 0; e = e.Next() {
		if w := e.Value.(*wait); !w.isRung && w.isOffered {
			w.miss()
			n--
		}
	}
}

// ringTasks wakes the first of every line, and says how many lines there are.
func (d *doorbell) ringTasks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, lines := range d.lines {
		for _, line := range lines {
			ringFirst(line, 1)
			n++
		}
	}
	return n
}
