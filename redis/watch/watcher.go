package watch

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
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
	notifySubscriptions = notify.Subscriptions[*jobWatch, update]
	subscription        = notify.Subscription[*jobWatch, update]
	notification        = notify.Notification[*jobWatch, update]
)

// use is what an update means to a watch; false when that is not enough: something is wrong, or it
// was read from elsewhere and does not reach the cursor.
func (f *jobWatch) use(u *update) (keyReply, bool) {
	reply := u.reply(u.raw)
	reply.at = u.at
	if reply.err != nil || u.from == f.cursor {
		return reply, reply.err == nil
	}
	i := slices.IndexFunc(reply.entries, func(entry resp.StreamEntry) bool { return entry.Id == f.cursor })
	if i < 0 {
		return reply, false
	}
	reply.entries = reply.entries[i:]
	return reply, true
}

// Snapshot is a job when its watch starts.
type Snapshot struct {
	// Known: the job has a state or events.
	Known bool
	// Status is by its state, or by its last event when it has no state.
	Status job.Status
}

// Frame is what a watch tells of one job: one of Snapshot, Event, State and Err.
type Frame struct {
	JobID string
	// Cursor is where to go on from after this frame.
	Cursor   string
	Snapshot *Snapshot
	Event    *job.Event
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

// Options say what to watch of a job.
type Options struct {
	// After is the cursor to start after; "" means from the first event.
	After string
	// State: tell changes of the job's state too, the newest value of each field.
	State bool
}

// Watcher follows any number of jobs. It belongs to one goroutine. A job that it follows
// costs it some 350 bytes, twice that with its state, and Redis 130 for each.
type Watcher struct {
	Of    func(jobID string) *Hub // where a job is
	inbox *notify.Inbox[*jobWatch, update]
	jobs  map[string]*jobWatch
	out   []Frame
	// looks is how many ears the next look takes: as many as have little, or a few that
	// have much.
	looks int
	// isStrict: a job that can't be read at first has failed.
	isStrict bool
}

// jobWatch is one job of Watches.
type jobWatch struct {
	broker *Hub
	jobID  string
	cursor string // after the last event that was read
	events subscription
	at     int64       // of the last reply, see update
	state  *stateWatch // nil when its state is not watched
	count  int32       // how many events the next read gets
	isNew  bool        // nothing of it was told
}

// stateWatch is the state of a job that is followed.
type stateWatch struct {
	subscription
	told map[string]string
	held *stateAnswer // sent after the job's snapshot
	// isTooLarge: it was told that the state is too large.
	isTooLarge bool
	// last is the job's terminal event, sent after the state that was written with
	// it: an answer with a higher number than lastNumber.
	last       *job.Event
	lastNumber int64
}

// Len is how many jobs it follows.
func (w *Watcher) Len() int { return len(w.jobs) }

// Close ends all watches.
func (w *Watcher) Close() {
	for _, f := range w.jobs {
		w.drop(f)
	}
}

// Add starts to follow a job. A job that is followed already starts anew. ErrInvalid.
func (w *Watcher) Add(jobID string, options Options) error {
	cursor, err := job.CheckCursor("after_cursor", options.After)
	if err := errors.Join(job.CheckID("job_id", jobID), err); err != nil {
		return err
	}
	w.Remove(jobID)
	b := w.Of(jobID)
	key := b.Keys.Completion(jobID)
	jobID = key[len(key)-len(jobID):] // one string for both, and the caller's is not kept
	f := &jobWatch{broker: b, jobID: jobID, cursor: cursor, count: firstEvents, isNew: true}
	f.events = subscription{Inbox: w.inbox, Key: key, Owner: f}
	w.jobs[jobID] = f
	b.watches.Subscribe(&f.events, cursor)
	f.events.Notify() // look at once
	if options.State {
		f.state = &stateWatch{subscription: subscription{Inbox: w.inbox, Key: b.Keys.State(jobID), Owner: f, IsValue: true}}
		b.watches.Subscribe(&f.state.subscription, "")
		b.states.watched.want(f.state.Key)
	}
	return nil
}

// Remove stops to follow a job. What was found of it and not returned yet is forgotten.
func (w *Watcher) Remove(jobID string) {
	f := w.jobs[jobID]
	if f == nil {
		return
	}
	w.drop(f)
	w.out = slices.DeleteFunc(w.out, func(frame Frame) bool { return frame.JobID == jobID })
}

func (w *Watcher) drop(f *jobWatch) {
	delete(w.jobs, f.jobID)
	f.broker.watches.Unsubscribe(&f.events)
	if f.state != nil {
		f.broker.watches.Unsubscribe(&f.state.subscription)
	}
}

// Mail has a signal when Poll may have something.
func (w *Watcher) Mail() <-chan struct{} { return w.inbox.Mail() }

// Poll returns the next frame; nil when there is none now. It fails when the context ends.
func (w *Watcher) Poll(ctx context.Context) (*Frame, error) {
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
func (w *Watcher) Next(ctx context.Context, wait time.Duration) (*Frame, error) {
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
func (w *Watcher) look(ctx context.Context) (isEmpty bool, err error) {
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
				f.broker.states.watched.want(e.Key)
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
func (w *Watcher) read(ctx context.Context, ears []*subscription, reads []keyRead) ([]keyReply, error) {
	first := ears[0].Owner.broker
	if !slices.ContainsFunc(ears, func(e *subscription) bool { return e.Owner.broker != first }) {
		return first.events.readKeys(ctx, reads)
	}
	places := make(map[*Hub][]int)
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
			found, err := b.events.readKeys(ctx, part)
			for n, i := range at {
				if err != nil {
					replies[i].err = job.ErrUnavailable
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
func (w *Watcher) failed(e *subscription, err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, job.ErrUnavailable) && !(w.isStrict && e.Owner.isNew):
		e.Owner.broker.Log.Debug("watch can't read", "job_id", e.Owner.jobID, "error", err)
		time.AfterFunc(conn.RetryPeriod, e.Notify)
	default:
		w.end(e.Owner, err)
	}
	return true
}

// end ends the watch of a job with an error.
func (w *Watcher) end(f *jobWatch, err error) {
	w.drop(f)
	w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Err: err})
}

// state takes what was read of a job's state.
func (w *Watcher) state(e *subscription, a *update) {
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
func (w *Watcher) tellState(f *jobWatch, a *stateAnswer) {
	s := f.state
	change := StateChange{Fields: make(map[string]string), Truncated: a.isTooLarge && !s.isTooLarge}
	if s.isTooLarge = a.isTooLarge; !a.isTooLarge {
		for name, value := range a.fields {
			if old, known := s.told[name]; (!known || old != value) && !job.IsOwnField(name) {
				change.Fields[name] = value
			}
		}
		for name := range s.told {
			if _, there := a.fields[name]; !there && !job.IsOwnField(name) {
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
func (w *Watcher) finish(f *jobWatch, last *job.Event) {
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
func (w *Watcher) events(ctx context.Context, e *subscription, reply keyReply) {
	f := e.Owner
	if w.jobs[f.jobID] != f || f.state != nil && f.state.last != nil || w.failed(e, reply.err) {
		return
	}
	f.at = reply.at
	entries, after := reply.entries, false
	if f.cursor != job.FirstCursor {
		if after = len(entries) > 0 && entries[0].Id == f.cursor; after {
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
		event.Cursor = strings.Clone(entry.Id) // the entry shares the memory of the whole reply
		if event.Status.Terminal() {
			if _, isOurs := entry.Fields[job.FieldLease]; !isOurs { // a raw worker may have left the state
				f.broker.results.HealLater(f.jobID)
			}
			if f.state == nil {
				w.finish(f, &event)
			} else { // it was written in the same step
				f.state.last, f.state.lastNumber = &event, f.broker.states.watched.want(f.state.Key)
			}
			return
		}
		f.cursor = event.Cursor
		w.out = append(w.out, Frame{JobID: f.jobID, Cursor: f.cursor, Event: &event})
	}
	f.count = int32(fewer(int(f.count), reply.bytes, reply.hasMore, eventBytes, firstEvents, mostEvents))
	f.broker.watches.Advance(e, f.cursor)
	if reply.hasMore {
		e.Notify()
	}
}

// resume handles a cursor without an event of its own: it is good only when the oldest
// event there is comes right after it.
func (w *Watcher) resume(ctx context.Context, f *jobWatch) error {
	oldest, err := f.broker.Commands.XRangeN(ctx, f.events.Key, "-", "+", 1).Result()
	if err != nil {
		return conn.Translate("read events", err, conn.Repeatable)
	}
	if len(oldest) == 0 {
		return &job.CursorExpiredError{Earliest: job.FirstCursor}
	}
	if earliest := job.CursorBefore(oldest[0].ID); earliest != f.cursor {
		return &job.CursorExpiredError{Earliest: earliest}
	}
	return nil
}

func (f *jobWatch) event(entry resp.StreamEntry) job.Event {
	return job.DecodeEvent(f.jobID, entry.Id, entry.Fields)
}
