package watch

import (
	"context"
	"slices"
	"strings"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// jobWatch is one job of a Watcher.
type jobWatch struct {
	hub    *Hub
	jobID  string
	cursor string // after the last event that was read
	events subscription
	seq    int64       // of the last reply, see update
	state  *stateWatch // nil when its state is not watched
	count  int32       // how many events the next read gets
	isNew  bool        // no frame of it was made
}

func newJobWatch(hub *Hub, inbox *notify.Inbox[*jobWatch, update], jobID, cursor string) *jobWatch {
	key := hub.Keys.Completion(jobID)
	jobID = key[len(key)-len(jobID):] // one string for both, and the caller's is not kept
	j := &jobWatch{hub: hub, jobID: jobID, cursor: cursor, count: firstEvents, isNew: true}
	j.events = subscription{Inbox: inbox, Key: key, Owner: j}
	return j
}

// nextRead is the read of what the job has at its cursor and after it. The cursor's own event is read
// too: one read then also shows whether it is still there, and if not, later ones may be missing too.
func (j *jobWatch) nextRead() streamRead {
	read := streamRead{key: j.events.Key, from: j.cursor, count: int(j.count)}
	if j.isNew {
		read.snapshotOf = j.jobID
	}
	return read
}

// use returns what an update is to this watch as the reply to its next read; false when the watch must
// read for itself: there is an error, or the update does not reach its cursor.
func (j *jobWatch) use(u *update) (streamReply, bool) {
	reply := u.parse(u.raw)
	reply.seq = u.seq
	if reply.err != nil || u.from == j.cursor {
		return reply, reply.err == nil
	}
	i := slices.IndexFunc(reply.entries, func(entry resp.StreamEntry) bool { return entry.ID == j.cursor })
	if i < 0 {
		return reply, false
	}
	reply.entries = reply.entries[i:]
	return reply, true
}

func (j *jobWatch) decode(entry resp.StreamEntry) job.Event {
	return job.DecodeEvent(j.jobID, entry.ID, entry.Fields)
}

// takeEvents makes frames of the events after a job's cursor.
func (w *Watcher) takeEvents(ctx context.Context, j *jobWatch, reply streamReply) {
	if !w.follows(j) || j.isEnding() || w.hasFailed(&j.events, reply.err) {
		return
	}
	j.seq = reply.seq
	entries, isDone, err := j.afterCursor(ctx, reply.entries)
	if w.hasFailed(&j.events, err) {
		return
	}
	if j.isNew {
		w.start(j, &reply.snapshot, isDone)
	}
	if isDone {
		w.drop(j)
		return
	}
	for _, entry := range entries {
		if isLast := w.takeEvent(j, entry); isLast {
			return
		}
	}
	j.count = int32(nextPageSize(int(j.count), reply.bytes, reply.hasMore, eventBytes, firstEvents, mostEvents))
	j.hub.subscriptions.Advance(&j.events, j.cursor)
	if reply.hasMore {
		j.events.Notify()
	}
}

// afterCursor returns the entries after the cursor; isDone when the cursor is that of the terminal
// event. Errors: *CursorExpiredError.
func (j *jobWatch) afterCursor(ctx context.Context, entries []resp.StreamEntry) (after []resp.StreamEntry, isDone bool, err error) {
	switch {
	case j.cursor == job.FirstCursor:
		return entries, false, nil
	case len(entries) > 0 && entries[0].ID == j.cursor:
		return entries[1:], j.decode(entries[0]).Status.Terminal(), nil
	}
	return entries, false, j.checkCursor(ctx)
}

// checkCursor checks a cursor whose own event does not exist: it is valid only when the oldest event
// comes directly after it.
func (j *jobWatch) checkCursor(ctx context.Context) error {
	oldest, err := j.hub.Commands.XRangeN(ctx, j.events.Key, "-", "+", 1).Result()
	if err != nil {
		return conn.Translate("read events", err, conn.Repeatable)
	}
	if len(oldest) == 0 {
		return &job.CursorExpiredError{Earliest: job.FirstCursor}
	}
	if earliest := job.CursorBefore(oldest[0].ID); earliest != j.cursor {
		return &job.CursorExpiredError{Earliest: earliest}
	}
	return nil
}

// start makes the first frames of a job: its snapshot, and its state if that was read already.
func (w *Watcher) start(j *jobWatch, snapshot *Snapshot, isDone bool) {
	j.isNew = false
	w.frames = append(w.frames, Frame{JobID: j.jobID, Cursor: j.cursor, Snapshot: snapshot, Done: isDone})
	if s := j.state; s != nil && s.held != nil {
		w.reportState(j, s.held)
		s.held = nil
	}
}

// takeEvent makes a frame of an event. It returns true for the terminal event, with which the watch
// ends, at once or after the job's state.
func (w *Watcher) takeEvent(j *jobWatch, entry resp.StreamEntry) (isLast bool) {
	event := j.decode(entry)
	event.Cursor = strings.Clone(entry.ID) // the entry shares the memory of the whole reply
	if !event.Status.Terminal() {
		j.cursor = event.Cursor
		w.frames = append(w.frames, Frame{JobID: j.jobID, Cursor: j.cursor, Event: &event})
		return false
	}
	if _, isOurs := entry.Fields[job.FieldLease]; !isOurs { // a raw worker may have left the state
		j.hub.results.HealLater(j.jobID)
	}
	if j.state == nil {
		w.finish(j, &event)
	} else { // the state was written in the same step, and is read first
		j.state.last, j.state.lastSeq = &event, j.hub.states.schedule.request(j.state.Key)
	}
	return true
}

// finish makes the frame of a job's terminal event, and ends its watch.
func (w *Watcher) finish(j *jobWatch, last *job.Event) {
	j.cursor = last.Cursor
	w.frames = append(w.frames, Frame{JobID: j.jobID, Cursor: j.cursor, Event: last, Done: true})
	w.drop(j)
}
