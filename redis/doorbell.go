package redis

import (
	"container/list"
	"sync"
)

// doorbell wakes those who wait for a key. A ring means "look", never "here it is":
// whoever waits registers first, then looks, then waits, so no ring is missed; and a
// ring too many costs one look. It never blocks.
//
// A key has lines: its waiters in the order of their arrival. A task stream has a line
// for each consumer group, a completion stream one line, "".
type doorbell struct {
	mu   sync.Mutex
	keys map[string]map[string]*list.List // key → line → *wait
	// busy has an element when there may be someone to sweep for.
	busy chan struct{}
}

// wait is a place in a line.
type wait struct {
	bell      *doorbell
	key, line string
	place     *list.Element
	rung      chan struct{} // holds one ring
	seen      string        // guarded by bell.mu: the last entry that the waiter knows
}

func newDoorbell() *doorbell {
	return &doorbell{keys: make(map[string]map[string]*list.List), busy: make(chan struct{}, 1)}
}

// join takes the last place in a line. The caller must leave.
func (d *doorbell) join(key, line string) *wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.keys[key]
	if lines == nil {
		lines = make(map[string]*list.List)
		d.keys[key] = lines
	}
	if lines[line] == nil {
		lines[line] = list.New()
	}
	w := &wait{bell: d, key: key, line: line, rung: make(chan struct{}, 1), seen: firstCursor}
	w.place = lines[line].PushBack(w)
	select {
	case d.busy <- struct{}{}:
	default:
	}
	return w
}

// leave gives up the place. A ring that was not heeded goes to the next in line of a
// task stream: it may have been for an entry that is still there.
func (w *wait) leave() {
	d := w.bell
	d.mu.Lock()
	defer d.mu.Unlock()
	line := d.keys[w.key][w.line]
	line.Remove(w.place)
	select {
	case <-w.rung:
		if w.line != "" {
			ringFirst(line, 1)
		}
	default:
	}
	if line.Len() == 0 {
		delete(d.keys[w.key], w.line)
	}
	if len(d.keys[w.key]) == 0 {
		delete(d.keys, w.key)
	}
}

// saw tells the sweep which entry the waiter knows already.
func (w *wait) saw(id string) {
	w.bell.mu.Lock()
	defer w.bell.mu.Unlock()
	w.seen = id
}

func (w *wait) ring() bool {
	select {
	case w.rung <- struct{}{}:
		return true
	default:
		return false
	}
}

// ringAll wakes everyone who waits for a key.
func (d *doorbell) ringAll(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.keys[key] {
		ringFirst(line, line.Len())
	}
}

// ringEach wakes the first n of each line of a key who are not awake already.
func (d *doorbell) ringEach(key string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, line := range d.keys[key] {
		ringFirst(line, n)
	}
}

// ringLine wakes the first of one line.
func (d *doorbell) ringLine(key, name string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if line := d.keys[key][name]; line != nil {
		ringFirst(line, 1)
	}
}

func ringFirst(line *list.List, n int) {
	for e := line.Front(); e != nil && n > 0; e = e.Next() {
		if e.Value.(*wait).ring() {
			n--
		}
	}
}

// ringTasks wakes the first of every line of every task stream, and says how many.
func (d *doorbell) ringTasks() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, lines := range d.keys {
		for name, line := range lines {
			if name != "" {
				ringFirst(line, 1)
				n++
			}
		}
	}
	return n
}

// position is a stream and the entry up to which all its waiters know it.
type position struct{ key, seen string }

// positions lists the completion streams that are waited for.
func (d *doorbell) positions() []position {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []position
	for key, lines := range d.keys {
		line := lines[""]
		if line == nil {
			continue
		}
		seen := ""
		for e := line.Front(); e != nil; e = e.Next() {
			if w := e.Value.(*wait); seen == "" || cursorLess(w.seen, seen) {
				seen = w.seen
			}
		}
		all = append(all, position{key, seen})
	}
	return all
}
