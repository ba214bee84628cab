package watch

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Watch follows one job's events. It belongs to one goroutine.
type Watch struct {
	watcher *Watcher
	cursor  string
	isDone  bool
}

// WatchFrames starts to follow one job with a Watcher of its own. Its first read fails when Redis is
// not available. The caller must Close it.
func (h *Hub) WatchFrames(jobID string, options Options) (*Watcher, error) {
	w := NewWatcher(func(string) *Hub { return h })
	w.isStrict = true
	return w, w.Add(jobID, options)
}

// Watch starts to follow a job's events after a cursor; "" means from the first. The caller must
// Close it. Errors: ErrInvalid, *CursorExpiredError.
func (h *Hub) Watch(ctx context.Context, jobID, after string) (*Watch, Snapshot, error) {
	watcher, err := h.WatchFrames(jobID, Options{After: after})
	if err != nil {
		return nil, Snapshot{}, err
	}
	for {
		frame, err := watcher.Next(ctx, conn.LongPeriod)
		switch {
		case err != nil:
		case frame == nil:
			continue
		case frame.Err != nil:
			err = frame.Err
		default:
			return &Watch{watcher: watcher, cursor: frame.Cursor, isDone: frame.Done}, *frame.Snapshot, nil
		}
		watcher.Close()
		return nil, Snapshot{}, err
	}
}

// Close ends the watch.
func (w *Watch) Close() { w.watcher.Close() }

// Cursor is the position of the watch: after the last event that Next returned.
func (w *Watch) Cursor() string { return w.cursor }

// Done reports whether the terminal event lies at or before the cursor: no other event follows.
func (w *Watch) Done() bool { return w.isDone }

// Next returns the next event, or nil when there is none until wait is over. While Redis is not
// available, it waits for it to return. Errors: the context's, *CursorExpiredError.
func (w *Watch) Next(ctx context.Context, wait time.Duration) (*job.Event, error) {
	frame, err := w.watcher.Next(ctx, wait)
	if err != nil || frame == nil {
		return nil, err
	}
	w.cursor, w.isDone = frame.Cursor, frame.Done
	return frame.Event, frame.Err
}

// Await waits for a job's terminal event. It returns nil when there is none until wait is over.
func (h *Hub) Await(ctx context.Context, jobID string, wait time.Duration) (*job.Event, error) {
	deadline := time.Now().Add(wait)
	w, _, err := h.Watch(ctx, jobID, "")
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
