package redis

import (
	"container/list"
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
	// unarmed are the task streams whose change may not be heard.
	unarmed map[string]bool
	// last is the newest entry of each task stream that someone was woken for.
	last map[string]string
	arm  chan struct{} // holds one signal that there are unarmed streams
	// busy holds one signal that there may be someone who waits.
	busy chan struct{}
}

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
}

func newDoorbell() *doorbell {
	return &doorbell{lines: make(map[string]map[string]*list.List), ears: make(map[string]*ear),
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

// join takes the last place in a line, to be woken by a channel that holds one ring. The
// caller must leave.
func (d *doorbell) join(key, group string, rung chan struct{}) *wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	lines := d.lines[key]
	if lines == nil {
		lines = make(map[string]*list.List)
		d.lines[key] = lines
		d.disarm(key)
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
	w.isRung, w.wants = false, nil
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
	if w.given = l; l != nil {
		w.isRung = true
		signal(w.rung)
	}
	return true
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
	if w.hasLeft = true; w.isRung {
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

func ringFirst(line *list.List, n int) {
	for e := line.Front(); e != nil && n > 0; e = e.Next() {
		if w := e.Value.(*wait); !w.isRung && !w.isOffered {
			w.isRung = true
			signal(w.rung) // it may be awake already, for another line
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

// disarm notes that a change of a task stream may not be heard. The caller holds mu.
func (d *doorbell) disarm(key string) {
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

// changed rings for keys that someone has written to.
func (d *doorbell) changed(keys []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, key := range keys {
		for e := d.ears[key]; e != nil; e = e.next {
			e.ring()
		}
		if d.lines[key] != nil {
			d.disarm(key)
		}
	}
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
		d.disarm(key)
	}
	for _, lines := range d.lines {
		for _, line := range lines {
			ringFirst(line, 1)
		}
	}
}

// waiters counts who waits: workers in lines, and ears.
func (d *doorbell) waiters() (workers, keys int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, lines := range d.lines {
		for _, line := range lines {
			workers += line.Len()
		}
	}
	return workers, len(d.ears)
}

// mailbox collects the ears of one listener that have heard a ring.
type mailbox struct {
	mu   sync.Mutex
	rung []*ear
	mail chan struct{} // holds one signal that there is something
}

func newMailbox() *mailbox { return &mailbox{mail: make(chan struct{}, 1)} }

// take empties the mailbox, up to n ears.
func (m *mailbox) take(n int) []*ear {
	m.mu.Lock()
	defer m.mu.Unlock()
	n = min(n, len(m.rung))
	rung := m.rung[:n:n]
	if m.rung = m.rung[n:]; len(m.rung) == 0 {
		m.rung = nil
	} else {
		signal(m.mail)
	}
	for _, e := range rung {
		e.isRung = false
	}
	return rung
}

// ear listens for one key.
type ear struct {
	box        *mailbox
	key        string
	prev, next *ear // of the same key, guarded by doorbell.mu
	isRung     bool // in the mailbox, guarded by box.mu
	isState    bool // of a state: it has no entries
	seen       string
	follower   *follower
}

// listen adds an ear. The caller must mute it.
func (d *doorbell) listen(e *ear) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.next = d.ears[e.key]; e.next != nil {
		e.next.prev = e
	}
	d.ears[e.key] = e
	signal(d.busy)
}

// mute removes an ear.
func (d *doorbell) mute(e *ear) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if e.next != nil {
		e.next.prev = e.prev
	}
	switch {
	case e.prev != nil:
		e.prev.next = e.next
	case e.next != nil:
		d.ears[e.key] = e.next
	default:
		delete(d.ears, e.key)
	}
}

// ring puts the ear into its mailbox.
func (e *ear) ring() {
	e.box.mu.Lock()
	defer e.box.mu.Unlock()
	if e.isRung {
		return
	}
	e.isRung = true
	e.box.rung = append(e.box.rung, e)
	signal(e.box.mail)
}

// isHeard is false when nobody listens for anything: then a key need not be made up.
func (d *doorbell) isHeard() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ears) > 0
}

// ringState wakes who listens for a job's state.
func (b *Broker) ringState(jobID string) {
	if b.bell.isHeard() {
		b.bell.ringAll(b.keys.state(jobID))
	}
}

// ringEvents wakes who listens for a job's events.
func (b *Broker) ringEvents(jobID string) {
	if b.bell.isHeard() {
		b.bell.ringAll(b.keys.completion(jobID))
	}
}

// ringAll wakes every ear of a key.
func (d *doorbell) ringAll(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.ears[key]; e != nil; e = e.next {
		e.ring()
	}
}

// knows tells the sweep which entry the ear knows already.
func (d *doorbell) knows(e *ear, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e.seen = id
}

// position is a stream and the entry up to which all its ears know it.
type position struct{ key, seen string }

// positions lists the completion streams that are listened for.
func (d *doorbell) positions() []position {
	d.mu.Lock()
	defer d.mu.Unlock()
	var all []position
	for key, e := range d.ears {
		if e.isState {
			continue
		}
		seen := e.seen
		for ; e != nil; e = e.next {
			if cursorLess(e.seen, seen) {
				seen = e.seen
			}
		}
		all = append(all, position{key, seen})
	}
	return all
}

// ringStates wakes the ears of all states.
func (d *doorbell) ringStates() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range d.ears {
		for ; e != nil && e.isState; e = e.next {
			e.ring()
		}
	}
}
