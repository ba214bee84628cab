package redis

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Snapshot is a job when its watch starts.
type Snapshot struct {
	// Known: the job has a state or events.
	Known bool
	// Status is by its state, or by its last event when it has no state.
	Status Status
}

// Watch follows a job's events. It belongs to one goroutine.
type Watch struct {
	broker *Broker
	jobID  string
	key    string
	cursor string
	place  *wait
	queue  []Event // read, not yet returned
	done   bool
}

// watchPage is how many events one read gets.
const watchPage = 100

// Watch starts to follow a job's events after a cursor; "" means from the first. The
// caller must Close it. Errors: ErrInvalid, *CursorExpiredError.
func (b *Broker) Watch(ctx context.Context, jobID, after string) (*Watch, Snapshot, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return nil, Snapshot{}, err
	}
	cursor, err := checkCursor("after_cursor", after)
	if err != nil {
		return nil, Snapshot{}, err
	}
	key := b.keys.completion(jobID)
	w := &Watch{broker: b, jobID: jobID, key: key, cursor: cursor, place: b.bell.join(key, "")}
	snapshot, err := b.snapshot(ctx, jobID)
	if err == nil {
		err = w.read(ctx)
	}
	if err != nil {
		w.Close()
		return nil, Snapshot{}, err
	}
	return w, snapshot, nil
}

// Close ends the watch.
func (w *Watch) Close() { w.place.leave() }

// Cursor is where the watch stands: after the last event that Next returned.
func (w *Watch) Cursor() string { return w.cursor }

// Done is true when the terminal event lies behind the cursor: no other follows.
func (w *Watch) Done() bool { return w.done }

// retryPeriod is how long a watch leaves Redis alone after a failure.
const retryPeriod = 250 * time.Millisecond

// Next returns the next event; nil when there is none until wait is over. While Redis
// is away it waits for it to come back. Errors: the context's, *CursorExpiredError.
func (w *Watch) Next(ctx context.Context, wait time.Duration) (*Event, error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		if len(w.queue) == 0 && !w.done {
			if err := w.read(ctx); errors.Is(err, ErrUnavailable) {
				w.broker.log.Debug("watch can't read its events", "job_id", w.jobID, "error", err)
				time.AfterFunc(retryPeriod, func() { w.place.ring() })
			} else if err != nil {
				return nil, err
			}
		}
		if len(w.queue) > 0 {
			event := w.queue[0]
			w.queue = w.queue[1:]
			w.cursor, w.done = event.Cursor, event.Status.Terminal()
			return &event, nil
		}
		select {
		case <-w.place.rung:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// read gets the events after the cursor. It reads from the cursor's own event on, so
// that one read also tells whether that is still there: if it is gone, so may others
// be that came after it.
func (w *Watch) read(ctx context.Context) error {
	entries, err := w.broker.client.commands.XRangeN(ctx, w.key, w.cursor, "+", watchPage+1).Result()
	if err != nil {
		return translate("read events", err, repeatable)
	}
	if w.cursor != firstCursor {
		if len(entries) == 0 || entries[0].ID != w.cursor {
			return w.resume(ctx, entries)
		}
		w.done = w.event(entries[0]).Status.Terminal()
		entries = entries[1:]
	}
	w.take(entries)
	return nil
}

// take queues events and tells the sweep how far this watch has got.
func (w *Watch) take(entries []goredis.XMessage) {
	seen := w.cursor
	for _, entry := range entries {
		event := w.event(entry)
		w.queue = append(w.queue, event)
		seen = entry.ID
		if event.Status.Terminal() {
			break
		}
	}
	w.place.saw(seen)
}

// resume handles a cursor without an event of its own: it is good only when the oldest
// event there is comes right after it.
func (w *Watch) resume(ctx context.Context, entries []goredis.XMessage) error {
	oldest, err := w.broker.client.commands.XRangeN(ctx, w.key, "-", "+", 1).Result()
	if err != nil {
		return translate("read events", err, repeatable)
	}
	if len(oldest) == 0 {
		return &CursorExpiredError{Earliest: firstCursor}
	}
	if earliest := cursorBefore(oldest[0].ID); earliest != w.cursor {
		return &CursorExpiredError{Earliest: earliest}
	}
	w.take(entries)
	return nil
}

func (w *Watch) event(entry goredis.XMessage) Event {
	return decodeEvent(w.jobID, entry.ID, textFields(entry.Values))
}

// snapshot reads where a job is.
func (b *Broker) snapshot(ctx context.Context, jobID string) (Snapshot, error) {
	pipe := b.client.commands.Pipeline()
	exists := pipe.Exists(ctx, b.keys.state(jobID))
	status := pipe.HGet(ctx, b.keys.state(jobID), fieldStatus)
	last := pipe.XRevRangeN(ctx, b.keys.completion(jobID), "+", "-", 1)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return Snapshot{}, translate("read job", err, repeatable)
	}
	if err := last.Err(); err != nil {
		return Snapshot{}, translate("read events", err, repeatable)
	}
	s := Snapshot{Known: exists.Val() > 0 || len(last.Val()) > 0, Status: Status(status.Val())}
	if s.Status == "" && len(last.Val()) > 0 {
		w := Watch{jobID: jobID}
		s.Status = w.event(last.Val()[0]).Status
	}
	return s, nil
}

// Await waits for a job's terminal event; nil when there is none until wait is over.
func (b *Broker) Await(ctx context.Context, jobID string, wait time.Duration) (*Event, error) {
	deadline := time.Now().Add(wait)
	w, _, err := b.Watch(ctx, jobID, "")
	if err != nil {
		return nil, err
	}
	defer w.Close()
	for {
		event, err := w.Next(ctx, time.Until(deadline))
		if err != nil || event == nil || event.Status.Terminal() {
			return event, err
		}
	}
}
