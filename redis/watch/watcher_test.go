package watch

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// newHub runs a hub around the in-process Redis; changes are pushed over the returned connection.
func newHub(b *bundle) (*Hub, *fakeConn) {
	tr := newTracked(b)
	c := b.redis.connect()
	tr.conns <- c
	h := &Hub{Shard: &conn.Shard{Conn: &conn.Conn{Keys: b.keys}, Log: b.log}, waiters: b.waiters, subscriptions: b.subscriptions,
		events: b.events, states: b.states, tracking: tr.tracking, polling: newPolled(b).polling}
	b.run(h.Run)
	return h, c
}

// wireEvents is a completion stream whose entries have some statuses.
func wireEvents(statuses ...string) string {
	list := make([]any, len(statuses))
	for i, status := range statuses {
		list[i] = []any{fmt.Sprintf("%d-0", i+1), []any{job.FieldStatus, status, job.FieldLease, "token"}}
	}
	return wire(list)
}

// next returns the next frame of a watcher.
func (b *bundle) next(w *Watcher) *Frame {
	b.Helper()
	frame, err := w.Next(b.ctx, time.Minute)
	if err != nil || frame == nil || frame.Err != nil {
		b.Fatalf("the frame is %+v, %v", frame, err)
	}
	return frame
}

// A pushed event reaches the watcher with the one read that the push made.
func TestPushedEventReachesTheWatcher(t *testing.T) {
	inBubble(t, func(b *bundle) {
		h, c := newHub(b)
		w, err := h.WatchFrames("id", Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		if frame := b.next(w); frame.Snapshot == nil || frame.Done {
			b.Fatalf("the first frame is %+v, want a snapshot", frame)
		}
		if frame, err := w.Next(b.ctx, time.Second); frame != nil || err != nil { // what it was notified of at first
			b.Fatalf("the frame is %+v, %v, want none", frame, err)
		}
		synctest.Wait()
		b.redis.took()
		key := b.keys.Completion("id")
		b.redis.set(key, wireEvents("running"))
		c.pushed <- []string{key}
		if frame := b.next(w); frame.Event == nil || frame.Event.Status != "running" || frame.Cursor != "1-0" {
			b.Fatalf("the frame is %+v, want the event", frame)
		}
		expectReads(b, []string{key}, nil)
		b.redis.set(key, wireEvents("running", "completed"))
		c.pushed <- []string{key}
		if frame := b.next(w); !frame.Done || frame.Event.Status != job.StatusCompleted || w.Len() != 0 {
			b.Errorf("the frame is %+v, want the terminal event and the end of the watch", frame)
		}
		expectReads(b, []string{key}, nil)
	})
}

// The state that was written with the terminal event is reported before it.
func TestStateComesBeforeTheTerminalEvent(t *testing.T) {
	inBubble(t, func(b *bundle) {
		h, c := newHub(b)
		b.redis.set(b.keys.State("id"), wireState("n", "1"))
		w, err := h.WatchFrames("id", Options{State: true})
		if err != nil {
			b.Fatal(err)
		}
		defer w.Close()
		if frame := b.next(w); frame.Snapshot == nil {
			b.Fatalf("the first frame is %+v, want a snapshot", frame)
		}
		if frame := b.next(w); frame.State == nil || frame.State.Fields["n"] != "1" {
			b.Fatalf("the second frame is %+v, want the state", frame)
		}
		b.redis.set(b.keys.State("id"), wireState("n", "2"))
		b.redis.set(b.keys.Completion("id"), wireEvents("completed"))
		c.pushed <- []string{b.keys.Completion("id")} // the push of the state comes later, or never
		if frame := b.next(w); frame.State == nil || frame.State.Fields["n"] != "2" || frame.Done {
			b.Fatalf("the third frame is %+v, want the new state", frame)
		}
		if frame := b.next(w); !frame.Done || frame.Event == nil {
			b.Errorf("the last frame is %+v, want the terminal event", frame)
		}
	})
}

// While Redis does not answer, a watch is retried; its first read fails if it is strict.
func TestUnavailableRedisIsRetried(t *testing.T) {
	inBubble(t, func(b *bundle) {
		h, _ := newHub(b)
		key := b.keys.Completion("id")
		b.redis.set(key, "-LOADING Redis is loading the dataset in memory\r\n")
		w := NewWatcher(func(string) *Hub { return h })
		defer w.Close()
		if err := w.Add("id", Options{}); err != nil {
			b.Fatal(err)
		}
		if frame, err := w.Next(b.ctx, 3*conn.RetryPeriod); frame != nil || err != nil {
			b.Fatalf("the frame is %+v, %v, want none", frame, err)
		}
		b.redis.set(key, wireEvents())
		if frame := b.next(w); frame.Snapshot == nil {
			b.Errorf("the frame is %+v, want a snapshot", frame)
		}
		b.redis.set(b.keys.Completion("strict"), "-LOADING Redis is loading the dataset in memory\r\n")
		strict, err := h.WatchFrames("strict", Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer strict.Close()
		if frame, err := strict.Next(b.ctx, time.Minute); err != nil || frame == nil || frame.Err == nil {
			b.Errorf("the frame is %+v, %v, want its error", frame, err)
		}
	})
}
