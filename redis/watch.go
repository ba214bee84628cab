package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// update is what was read for all watches of a key: of a stream what a tracker read when it had
// changed, or a state.
type update struct {
	keyRead
	raw   string
	state *stateAnswer
	at    int64 // of two updates of one key the later one has the higher
}

type (
	waitlists     = notify.Waitlists[ReadRequest, newLease]
	waiter        = notify.Waiter[ReadRequest, newLease]
	subscriptions = notify.Subscriptions[*follower, update]
	subscription  = notify.Subscription[*follower, update]
	notification  = notify.Notification[*follower, update]
)

// use is what an update means to a watch; false when that is not enough: something is wrong, or it
// was read from elsewhere and does not reach the cursor.
func (f *follower) use(u *update) (keyReply, bool) {
	reply := u.reply(u.raw)
	reply.at = u.at
	if reply.err != nil || u.from == f.cursor {
		return reply, reply.err == nil
	}
	i := slices.IndexFunc(reply.entries, func(entry streamEntry) bool { return entry.id == f.cursor })
	if i < 0 {
		return reply, false
	}
	reply.entries = reply.entries[i:]
	return reply, true
}

// stateWritten notifies the watches of a job's state that this process has written.
func (b *Broker) ringState(jobID string) {
	if !b.subscriptions.Pushed() {
		b.subscriptions.NotifyKey(b.keys.state(jobID))
	}
}

// eventsWritten notifies the watches of a job's events that this process has written.
func (b *Broker) ringEvents(jobID string) {
	if !b.subscriptions.Pushed() {
		b.subscriptions.NotifyKey(b.keys.completion(jobID))
	}
}

// Snapshot is a job when its watch starts.
type Snapshot struct {
	// Known: the job has a state or events.
	Known bool
	// Status is by its state, or by its last event when it has no state.
	Status Status
}

// Frame is what a watch tells of one job: one of Snapshot, Event, State and Err.
type Frame struct {
	JobID string
	// Cursor is where to go on from after this frame.
	Cursor   string
	Snapshot *Snapshot
	Event    *Event
	State    *StateChange
	// Err ends the watch of this job: *CursorExpiredError, ErrKeyType.
	Err error
	// Done: the job has its result, and its watch has ended.
	Done bool
}

// StateChange is what has changed in a job's state since the last one that was told. The
// first one has the whole state.
type StateChange struct {
	Fields  map[string]string
	Removed []string
	// Truncated: the state is too large to be told. The next change is again one to the last
	// state that was told.
	Truncated bool
}

// WatchOptions say what to watch of a job.
type WatchOptions struct {
	// After is the cursor to start after; "" means from the first event.
	After string
	// State: tell changes of the job's state too, the newest value of each field.
	State bool
}

// Watches follows any number of jobs. It belongs to one goroutine. A job that it follows
// costs it some 350 bytes, twice that with its state, and Redis 130 for each.
type Watches struct {
	of    func(jobID string) *Broker // where a job is
	inbox *notify.Inbox[*follower, update]
	jobs  map[string]*follower
	out   []Frame
	// looks is how many ears the next look takes: as many as have little, or a few that
	// have much.
	looks int
	// isStrict: a job that can't be read at first has failed.
	isStrict bool
}

// follower is one job of Watches.
type follower struct {
	broker *Broker
	jobID  string
	cursor string // after the last event that was read
	events subscription
	at     int64          // of the last reply, see update
	state  *followedState // nil when its state is not watched
	count  int32          // how many events the next read gets
	isNew  bool           // nothing of it was told
}

// followedState is the state of a job that is followed.
type followedState struct {
	subscription
	told map[string]string
	held *stateAnswer // sent after the job's snapshot
	// isTooLarge: it was told that the state is too large.
	isTooLarge bool
	// last is the job's terminal event, sent after the state that was written with
	// it: an answer with a higher number than lastNumber.
	last       *Event
	lastNumber int64
}

// Watches makes one without jobs. The caller must Close it.
func (b *Broker) Watches() *Watches {
	return &Watches{of: func(string) *Broker { return b }, inbox: notify.NewInbox[*follower, update](), jobs: make(map[string]*follower), looks: firstLooks}
}

// Len is how many jobs it follows.
func (w *Watches) Len() int { return len(w.jobs) }

// Close ends all watches.
func (w *Watches) Close() {
	for _, f := range w.jobs {
		w.drop(f)
	}
}

// Add starts to follow a job. A job that is followed already starts anew. ErrInvalid.
func (w *Watches) Add(jobID string, options WatchOptions) error {
	cursor, err := checkCursor("after_cursor", options.After)
	if err := errors.Join(CheckID("job_id", jobID), err); err != nil {
		return err
	}
	w.Remove(jobID)
	b := w.of(jobID)
	key := b.keys.completion(jobID)
	jobID = key[len(key)-len(jobID):] // one string for both, and the caller's is not kept
	f := &follower{broker: b, jobID: jobID, cursor: cursor, count: firstEvents, isNew: true}
	f.events = subscription{Inbox: w.inbox, Key: key, Owner: f}
	w.jobs[jobID] = f
	b.subscriptions.Subscribe(&f.events, cursor)
	f.events.Notify() // look at once
	if options.State {
		f.state = &followedState{subscription: subscription{Inbox: w.inbox, Key: b.keys.state(jobID), Owner: f, IsValue: true}}
		b.subscriptions.Subscribe(&f.state.subscription, "")
		b.watched.want(f.state.Key)
	}
	return nil
}

// Remove stops to follow a job. What was found of it and not returned yet is forgotten.
func (w *Watches) Remove(jobID string) {
	f := w.jobs[jobID]
	if f == nil {
		return
	}
	w.drop(f)
	w.out = slices.DeleteFunc(w.out, func(frame Frame) bool { return frame.JobID == jobID })
}

func (w *Watches) drop(f *follower) {
	delete(w.jobs, f.jobID)
	f.broker.subscriptions.Unsubscribe(&f.events)
	if f.state != nil {
		f.broker.subscriptions.Unsubscribe(&f.state.subscription)
	}
}

// retryPeriod is how long a watch leaves Redis alone after a failure.
const retryPeriod = 250 * time.Millisecond

// Mail has a signal when Poll may have something.
func (w *Watches) Mail() <-chan struct{} { return w.inbox.Mail() }

// Poll returns the next frame; nil when there is none now. It fails when the context ends.
func (w *Watches) Poll(ctx context.Context) (*Frame, error) {
	for len(w.out) == 0 {
		isEmpty, err := w.look(ctx)
		if err != nil || isEmpty {
			return nil, err
		}
	}
	frame := w.out[0]
	if w.out = w.out[1:]; len(w.out) == 0 {
		w.out = nil
	}
	return &frame, nil
}

// Next returns the next frame; nil when there is none until wait is over. While Redis is
// away it waits for it to come back. It fails when the context ends.
func (w *Watches) Next(ctx context.Context, wait time.Duration) (*Frame, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		if frame, err := w.Poll(ctx); frame != nil || err != nil {
			return frame, err
		}
		select {
		case <-w.Mail():
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// found is what was read for an ear.
type found struct {
	*subscription
	reply keyReply
}

// look takes what rang, and reads what did not come with its ring; isEmpty when nothing rang.
func (w *Watches) look(ctx context.Context) (isEmpty bool, err error) {
	var all []found
	var states []notification
	var ears []*subscription // that look for themselves
	var reads []keyRead
	taken := w.inbox.Take(w.looks)
	for _, r := range taken {
		e, f := r.Subscription, r.Owner
		if w.jobs[f.jobID] != f {
			continue // it was removed since
		}
		if e.IsValue {
			if r.Payload == nil {
				f.broker.watched.want(e.Key)
			} else {
				states = append(states, r)
			}
			continue
		}
		if r.Payload != nil && !f.isNew {
			if r.Payload.at < f.at {
				continue // it has a later one
			}
			if reply, ok := f.use(r.Payload); ok {
				all = append(all, found{e, reply})
				continue
			}
		}
		read := keyRead{key: e.Key, from: f.cursor, count: int(f.count)}
		if f.isNew {
			read.about = f.jobID
		}
		ears, reads = append(ears, e), append(reads, read)
	}
	if len(reads) > 0 {
		replies, err := w.read(ctx, ears, reads)
		if err != nil {
			return false, err
		}
		for i, e := range ears {
			all = append(all, found{e, replies[i]})
		}
	}
	for _, r := range states { // they are first: an event may be the last word
		w.state(r.Subscription, r.Payload)
	}
	bytes := 0
	for _, one := range all {
		bytes += one.reply.bytes
		w.events(ctx, one.subscription, one.reply)
	}
	w.looks = fewer(w.looks, bytes, len(taken) == w.looks, lookBytes, firstLooks, readPage)
	return len(taken) == 0, nil
}

// read reads for ears, of each shard at once. A shard that does not answer does not hold up
// the others for long.
func (w *Watches) read(ctx context.Context, ears []*subscription, reads []keyRead) ([]keyReply, error) {
	first := ears[0].Owner.broker
	if !slices.ContainsFunc(ears, func(e *subscription) bool { return e.Owner.broker != first }) {
		return first.readKeys(ctx, reads)
	}
	places := make(map[*Broker][]int)
	for i, e := range ears {
		places[e.Owner.broker] = append(places[e.Owner.broker], i)
	}
	replies := make([]keyReply, len(reads))
	var calls sync.WaitGroup
	for b, at := range places {
		calls.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, shardPatience)
			defer cancel()
			part := make([]keyRead, len(at))
			for n, i := range at {
				part[n] = reads[i]
			}
			found, err := b.readKeys(ctx, part)
			for n, i := range at {
				if err != nil {
					replies[i].err = ErrUnavailable
				} else {
					replies[i] = found[n]
				}
			}
		})
	}
	calls.Wait()
	return replies, ctx.Err()
}

// shardPatience is how long a watch of jobs of several shards waits for one of them.
const shardPatience = time.Second

// failed handles an error of a read; false when there is none.
func (w *Watches) failed(e *subscription, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, ErrUnavailable) && !(w.isStrict && e.Owner.isNew):
		e.Owner.broker.log.Debug("watch can't read", "job_id", e.Owner.jobID, "error", err)
		time.AfterFunc(retryPeriod, e.Notify)
	default:
		w.end(e.Owner, err)
	}
	return true
}

// end ends the watch of a job with an error.
func (w *Watches) end(f *follower, err error) {
	w.drop(f)
	w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Err: err})
}

// state takes what was read of a job's state.
func (w *Watches) state(e *subscription, a *update) {
	f := e.Owner
	if w.jobs[f.jobID] != f || w.failed(e, a.state.err) {
		return
	}
	s := f.state
	if f.isNew {
		s.held = a.state
		return
	}
	w.tellState(f, a.state)
	if s.last != nil && a.at > s.lastNumber {
		w.finish(f, s.last)
	}
}

// tellState tells what has changed in a job's state.
func (w *Watches) tellState(f *follower, a *stateAnswer) {
	s := f.state
	change := StateChange{Fields: make(map[string]string), Truncated: a.isTooLarge && !s.isTooLarge}
	if s.isTooLarge = a.isTooLarge; !a.isTooLarge {
		for name, value := range a.fields {
			if old, known := s.told[name]; (!known || old != value) && !isOwnField(name) {
				change.Fields[name] = value
			}
		}
		for name := range s.told {
			if _, there := a.fields[name]; !there && !isOwnField(name) {
				change.Removed = append(change.Removed, name)
			}
		}
		s.told = a.fields
	}
	if len(change.Fields)+len(change.Removed) > 0 || change.Truncated {
		w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, State: &change})
	}
}

// finish tells a job's terminal event, and ends its watch.
func (w *Watches) finish(f *follower, last *Event) {
	f.cursor = last.Cursor
	w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Event: last, Done: true})
	w.drop(f)
}

// Redis has no bound in bytes for what it returns, and events may be small or large. So a
// watch begins to read with few, gets more at a time while they are small, and fewer when they
// are large: a page is some eventBytes, or one event. firstEvents are the cursor's own one
// and two more.
const (
	firstEvents = 3
	mostEvents  = 101
	eventBytes  = 1 << 18
)

// Likewise, a watch of many jobs looks at few at a time that have much to tell.
const (
	firstLooks = 16
	lookBytes  = 4 << 20
)

// fewer is how many to read after a page of n that had so many bytes: more if it was full and
// small, fewer if it was large; else as few as at first, as what comes is not known.
func fewer(n, bytes int, isFull bool, aim, first, most int) int {
	switch {
	case bytes > aim:
		return max(2, min(first, n*aim/bytes))
	case !isFull:
		return min(n, first)
	case bytes < aim/8:
		return min(most, 4*n)
	}
	return n
}

// events tells the events after a job's cursor. They were read from the cursor's own event
// on, so that one read also tells whether that is still there: if it is gone, so may
// others be that came after it.
func (w *Watches) events(ctx context.Context, e *subscription, reply keyReply) {
	f := e.Owner
	if w.jobs[f.jobID] != f || f.state != nil && f.state.last != nil || w.failed(e, reply.err) {
		return
	}
	f.at = reply.at
	entries, after := reply.entries, false
	if f.cursor != firstCursor {
		if after = len(entries) > 0 && entries[0].id == f.cursor; after {
			after = f.event(entries[0]).Status.Terminal()
			entries = entries[1:]
		} else if err := w.resume(ctx, f); w.failed(e, err) {
			return
		}
	}
	if f.isNew {
		f.isNew = false
		w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Snapshot: &reply.snapshot, Done: after})
		if s := f.state; s != nil && s.held != nil {
			w.tellState(f, s.held)
			s.held = nil
		}
	}
	if after {
		w.drop(f)
		return
	}
	for _, entry := range entries {
		event := f.event(entry)
		event.Cursor = strings.Clone(entry.id) // the entry shares the memory of the whole reply
		if event.Status.Terminal() {
			if _, isOurs := entry.fields[fieldLease]; !isOurs { // a raw worker may have left the state
				f.broker.toHeal(f.jobID)
			}
			if f.state == nil {
				w.finish(f, &event)
			} else { // it was written in the same step
				f.state.last, f.state.lastNumber = &event, f.broker.watched.want(f.state.Key)
			}
			return
		}
		f.cursor = event.Cursor
		w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Event: &event})
	}
	f.count = int32(fewer(int(f.count), reply.bytes, reply.hasMore, eventBytes, firstEvents, mostEvents))
	f.broker.subscriptions.Advance(e, f.cursor)
	if reply.hasMore {
		e.Notify()
	}
}

// resume handles a cursor without an event of its own: it is good only when the oldest
// event there is comes right after it.
func (w *Watches) resume(ctx context.Context, f *follower) error {
	oldest, err := f.broker.client.commands.XRangeN(ctx, f.events.Key, "-", "+", 1).Result()
	if err != nil {
		return translate("read events", err, repeatable)
	}
	if len(oldest) == 0 {
		return &CursorExpiredError{Earliest: firstCursor}
	}
	if earliest := cursorBefore(oldest[0].ID); earliest != f.cursor {
		return &CursorExpiredError{Earliest: earliest}
	}
	return nil
}

func (f *follower) event(entry streamEntry) Event {
	return decodeEvent(f.jobID, entry.id, entry.fields)
}
