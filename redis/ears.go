package redis

import (
	"slices"
	"sync"
)

// mailbox collects the ears of one listener that have heard a ring.
type mailbox struct {
	mu   sync.Mutex
	rung []*ear
	mail chan struct{} // holds one signal that there is something
}

func newMailbox() *mailbox { return &mailbox{mail: make(chan struct{}, 1)} }

// answer is what was read for all who listen for a key: of a stream what a tracker read when
// it had changed, or a state.
type answer struct {
	keyRead
	raw   string
	state *stateAnswer
	at    int64 // of two answers of one key the later one has the higher
}

// rung is an ear that heard a ring, and what its key had then, nil if that is to be read.
type rung struct {
	*ear
	answer *answer
}

// take empties the mailbox, up to n ears.
func (m *mailbox) take(n int) []rung {
	m.mu.Lock()
	defer m.mu.Unlock()
	n = min(n, len(m.rung))
	taken := make([]rung, n)
	for i, e := range m.rung[:n] {
		taken[i] = rung{e, e.answer}
		e.isRung, e.answer = false, nil
	}
	if m.rung = m.rung[n:]; len(m.rung) == 0 {
		m.rung = nil
	} else {
		signal(m.mail)
	}
	return taken
}

// ear listens for one key.
type ear struct {
	box        *mailbox
	key        string
	follower   *follower
	prev, next *ear              // of the same key, guarded by doorbell.mu
	seen       string            // the last entry that is known, guarded by doorbell.mu
	fields     map[string]string // of a state, as last told; guarded by doorbell.mu
	answer     *answer           // what came with the ring, guarded by box.mu
	at         int64             // of the last reply, see answer; the follower's
	isState    bool              // of a state: it has no entries
	isPolled   bool              // Redis is not asked to ring for the key; guarded by doorbell.mu
	isRung     bool              // in the mailbox, guarded by box.mu
}

// listen adds an ear. The caller must mute it.
func (d *doorbell) listen(e *ear) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch e.next = d.ears[e.key]; {
	case e.next != nil:
		e.next.prev, e.isPolled = e, e.next.isPolled
	case d.tracked >= d.limit:
		e.isPolled = true
	default:
		d.tracked++
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
		if !e.isPolled {
			d.tracked--
		}
	}
}

// ring puts the ear into its mailbox, to look for itself.
func (e *ear) ring() { e.hear(nil) }

// hear puts the ear into its mailbox, with what its key had. One who is to look for himself
// still is.
func (e *ear) hear(a *answer) {
	e.box.mu.Lock()
	defer e.box.mu.Unlock()
	if e.isRung {
		if e.answer != nil {
			e.answer = a
		}
		return
	}
	e.isRung, e.answer = true, a
	e.box.rung = append(e.box.rung, e)
	signal(e.box.mail)
}

// use is what an answer means to an ear; false when that is not enough: something is wrong,
// or it was read from elsewhere and does not reach the cursor.
func (e *ear) use(a *answer) (keyReply, bool) {
	reply := a.reply(a.raw)
	reply.at = a.at
	if reply.err != nil || a.from == e.follower.cursor {
		return reply, reply.err == nil
	}
	i := slices.IndexFunc(reply.entries, func(entry streamEntry) bool { return entry.id == e.follower.cursor })
	if i < 0 {
		return reply, false
	}
	reply.entries = reply.entries[i:]
	return reply, true
}

// leastSeen is the entry up to which all ears from this one on know their stream.
func (e *ear) leastSeen() string {
	seen := e.seen
	for ; e != nil; e = e.next {
		if cursorLess(e.seen, seen) {
			seen = e.seen
		}
	}
	return seen
}

// isHeard is false when nobody listens for anything: then a key need not be made up.
func (d *doorbell) isHeard() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ears) > 0
}

// ringState wakes who listens for a job's state. While Redis rings, that is not necessary.
func (b *Broker) ringState(jobID string) {
	if b.tracker.Load() == nil && b.bell.isHeard() {
		b.bell.ringAll(b.keys.state(jobID))
	}
}

// ringEvents wakes who listens for a job's events, likewise.
func (b *Broker) ringEvents(jobID string) {
	if b.tracker.Load() == nil && b.bell.isHeard() {
		b.bell.ringAll(b.keys.completion(jobID))
	}
}

// tell wakes every ear of a key with what the key had.
func (d *doorbell) tell(key string, a *answer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.ears[key]; e != nil; e = e.next {
		e.hear(a)
	}
}

// tellState is tell for a state. It returns what was told before, nil if nothing was.
func (d *doorbell) tellState(key string, a *answer) (before map[string]string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for e := d.ears[key]; e != nil; e = e.next {
		if before == nil {
			before = e.fields
		}
		e.fields = a.state.fields
		e.hear(a)
	}
	return before
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

// positions lists the completion streams that are listened for: all, or those that are polled
// though Redis rings.
func (d *doorbell) positions(isTracking bool) []position {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isTracking && d.tracked == len(d.ears) {
		return nil
	}
	var all []position
	for key, e := range d.ears {
		if !e.isState && (e.isPolled || !isTracking) {
			all = append(all, position{key, e.leastSeen()})
		}
	}
	return all
}

// polledStates lists the states that are listened for, likewise.
func (d *doorbell) polledStates(isTracking bool) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isTracking && d.tracked == len(d.ears) {
		return nil
	}
	var all []string
	for key, e := range d.ears {
		if e.isState && (e.isPolled || !isTracking) {
			all = append(all, key)
		}
	}
	return all
}
