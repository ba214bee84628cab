package watch

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Watcher follows any number of jobs. It belongs to one goroutine. A job that it follows costs it
// about 350 bytes, twice that with its state, and Redis 130 for each.
type Watcher struct {
	hubOf  func(jobID string) *Hub
	inbox  *notify.Inbox[*jobWatch, update]
	jobs   map[string]*jobWatch
	frames []Frame // not returned yet
	// page is how many notifications are taken next.
	page int
	// isStrict: a job that cannot be read at first has failed.
	isStrict bool
}

// NewWatcher returns a watcher without jobs. hubOf is the hub of the shard that has a job. The caller
// must Close it.
func NewWatcher(hubOf func(jobID string) *Hub) *Watcher {
	return &Watcher{hubOf: hubOf, inbox: notify.NewInbox[*jobWatch, update](), jobs: make(map[string]*jobWatch), page: firstTaken}
}

// Len is the number of jobs that it follows.
func (w *Watcher) Len() int { return len(w.jobs) }

// Close ends all watches.
func (w *Watcher) Close() {
	for _, j := range w.jobs {
		w.drop(j)
	}
}

// Add starts to follow a job. A job that it follows already starts again. Errors: ErrInvalid.
func (w *Watcher) Add(jobID string, options Options) error {
	cursor, err := job.CheckCursor("after_cursor", options.After)
	if err := errors.Join(job.CheckID("job_id", jobID), err); err != nil {
		return err
	}
	w.Remove(jobID)
	j := newJobWatch(w.hubOf(jobID), w.inbox, jobID, cursor)
	w.jobs[j.jobID] = j
	j.hub.subscriptions.Subscribe(&j.events, cursor)
	j.events.Notify() // read at once
	if options.State {
		j.state = &stateWatch{subscription: subscription{Inbox: w.inbox, Key: j.hub.Keys.State(j.jobID), Owner: j, IsValue: true}}
		j.hub.subscriptions.Subscribe(&j.state.subscription, "")
		j.hub.states.schedule.request(j.state.Key)
	}
	return nil
}

// Remove stops following a job. Its frames that were not returned yet are discarded.
func (w *Watcher) Remove(jobID string) {
	j := w.jobs[jobID]
	if j == nil {
		return
	}
	w.drop(j)
	w.frames = slices.DeleteFunc(w.frames, func(frame Frame) bool { return frame.JobID == jobID })
}

func (w *Watcher) drop(j *jobWatch) {
	delete(w.jobs, j.jobID)
	j.hub.subscriptions.Unsubscribe(&j.events)
	if j.state != nil {
		j.hub.subscriptions.Unsubscribe(&j.state.subscription)
	}
}

// Mail receives a signal when Poll may return a frame.
func (w *Watcher) Mail() <-chan struct{} { return w.inbox.Mail() }

// Poll returns the next frame, or nil when there is none now. It fails when the context ends.
func (w *Watcher) Poll(ctx context.Context) (*Frame, error) {
	for len(w.frames) == 0 {
		isEmpty, err := w.collect(ctx)
		if err != nil || isEmpty {
			return nil, err
		}
	}
	frame := w.frames[0]
	if w.frames = w.frames[1:]; len(w.frames) == 0 {
		w.frames = nil
	}
	return &frame, nil
}

// Next returns the next frame, or nil when there is none until wait is over. While Redis is not
// available, it waits for it to return. It fails when the context ends.
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

// collected is what a watcher has taken from its inbox.
type collected struct {
	states  []notification
	events  []jobEvents
	pending []*jobWatch  // that read for themselves
	reads   []streamRead // one for each of pending
}

// jobEvents is a reply with events of a job.
type jobEvents struct {
	*jobWatch
	reply streamReply
}

// collect turns notifications into frames: it takes a page of them, and reads what they do not carry.
// isEmpty is true when there were none.
func (w *Watcher) collect(ctx context.Context) (isEmpty bool, err error) {
	taken := w.inbox.Take(w.page)
	var all collected
	for _, n := range taken {
		if w.follows(n.Owner) {
			all.add(n)
		}
	}
	if len(all.reads) > 0 {
		replies, err := readShards(ctx, all.pending, all.reads)
		if err != nil {
			return false, err
		}
		for i, j := range all.pending {
			all.events = append(all.events, jobEvents{j, replies[i]})
		}
	}
	for _, n := range all.states { // first, because an event may end the watch
		w.takeState(n.Owner, n.Payload)
	}
	bytes := 0
	for _, e := range all.events {
		bytes += e.reply.bytes
		w.takeEvents(ctx, e.jobWatch, e.reply)
	}
	w.page = nextPageSize(w.page, bytes, len(taken) == w.page, takenBytes, firstTaken, maxPage)
	return len(taken) == 0, nil
}

// follows reports whether a job was not removed meanwhile.
func (w *Watcher) follows(j *jobWatch) bool { return w.jobs[j.jobID] == j }

// add sorts a notification by what is to be done.
func (c *collected) add(n notification) {
	j := n.Owner
	switch {
	case n.IsValue && n.Payload == nil:
		j.hub.states.schedule.request(n.Key)
		return
	case n.IsValue:
		c.states = append(c.states, n)
		return
	case n.Payload != nil && !j.isNew:
		if n.Payload.seq < j.seq {
			return // a later one was used
		}
		if reply, ok := j.use(n.Payload); ok {
			c.events = append(c.events, jobEvents{j, reply})
			return
		}
	}
	c.pending, c.reads = append(c.pending, j), append(c.reads, j.nextRead())
}

// hasFailed handles an error of a read; it returns false when there is none.
func (w *Watcher) hasFailed(s *subscription, err error) bool {
	j := s.Owner
	switch {
	case err == nil:
		return false
	case errors.Is(err, job.ErrUnavailable) && !(w.isStrict && j.isNew):
		j.hub.Log.Debug("could not read a watched job", "job_id", j.jobID, "error", err)
		time.AfterFunc(conn.RetryPeriod, s.Notify)
	default: // the watch of this job ends
		w.drop(j)
		w.frames = append(w.frames, Frame{JobID: j.jobID, Cursor: j.cursor, Err: err})
	}
	return true
}
