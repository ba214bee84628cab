package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

func (b *bundle) watch(t *testing.T, id, after string) (*watch.Watch, watch.Snapshot) {
	t.Helper()
	w, snapshot, err := b.broker.Watch(b.ctx, id, after)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	return w, snapshot
}

func (b *bundle) next(t *testing.T, w *watch.Watch) *job.Event {
	t.Helper()
	event, err := w.Next(b.ctx, longWait)
	if err != nil || event == nil {
		t.Fatal("no event:", err)
	}
	return event
}

func (b *bundle) report(t *testing.T, id string, status job.Status) string {
	t.Helper()
	recorded, err := b.broker.Report(b.ctx, id, job.Result{Status: status})
	if err != nil {
		t.Fatal(err)
	}
	return recorded.Cursor
}

// A watch may begin before the job exists, after its end, or at a cursor in between.
func TestWatchBeforeDuringAndAfterTheJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		early, snapshot := b.watch(t, "job", "")
		if snapshot.Known || early.Cursor() != "0-0" {
			t.Error("before the job exists:", snapshot, early.Cursor())
		}
		running := b.report(t, "job", job.StatusRunning)
		if event := b.next(t, early); event.Cursor != running || event.Status != job.StatusRunning || early.Done() {
			t.Error("running:", event)
		}
		done := b.report(t, "job", job.StatusCompleted)
		if event := b.next(t, early); event.Cursor != done || event.Status != job.StatusCompleted || !early.Done() {
			t.Error("completed:", event)
		}

		late, snapshot := b.watch(t, "job", "")
		if !snapshot.Known || snapshot.Status != job.StatusCompleted {
			t.Error("after:", snapshot)
		}
		if first, second := b.next(t, late), b.next(t, late); first.Cursor != running || second.Cursor != done || !late.Done() {
			t.Error("after:", first, second)
		}
		resumed, _ := b.watch(t, "job", running)
		if event := b.next(t, resumed); event.Cursor != done {
			t.Error("resumed:", event)
		}
		if over, _ := b.watch(t, "job", done); !over.Done() {
			t.Error("resumed at the terminal event, and not done")
		}
	})
}

// A watch sees events of raw peers, in both encodings, and of other servers.
func TestWatchSeesEventsOfRawPeersAndOtherServers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		other := b.open(t, job.Settings{})
		add := func(id string, values ...any) {
			t.Helper()
			if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:" + id), Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		flat, _ := b.watch(t, "flat", "")
		json, _ := b.watch(t, "json", "")
		odd, _ := b.watch(t, "odd", "")
		elsewhere, _ := b.watch(t, "elsewhere", "")

		add("flat", "job_id", "flat", "status", "failed", "completed_at", "1767323045", "bin", "\xff", "n", "1")
		want := &job.Event{JobID: "flat", Status: job.StatusFailed, CompletedAt: created,
			Fields: map[string]string{"n": "1"}, BinaryFields: map[string][]byte{"bin": {0xff}}}
		if diff := cmp.Diff(want, clearCursor(b.next(t, flat))); diff != "" || !flat.Done() {
			t.Error("flat:", diff)
		}
		add("json", "data", `{"job_id":"json","status":"partial","completed_at":"2026-01-02T03:04:05Z","results":{"trivy":{"n":1},"s":"x"},"more":true}`)
		want = &job.Event{JobID: "json", Status: job.StatusPartial, CompletedAt: created,
			Fields: map[string]string{"trivy": `{"n":1}`, "s": "x", "more": "true"}}
		if diff := cmp.Diff(want, clearCursor(b.next(t, json))); diff != "" || !json.Done() {
			t.Error("json:", diff)
		}
		add("odd", "status", "paused", "data", "{}")
		want = &job.Event{JobID: "odd", Status: "paused", Fields: map[string]string{"data": "{}"}}
		if diff := cmp.Diff(want, clearCursor(b.next(t, odd))); diff != "" || odd.Done() {
			t.Error("odd:", diff)
		}
		if _, err := other.Report(b.ctx, "elsewhere", job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		if event := b.next(t, elsewhere); event.Status != job.StatusCompleted {
			t.Error("another server's:", event)
		}
		// A raw peer's result is the job's: no second one is recorded.
		r, err := b.broker.Report(b.ctx, "json", job.Result{Status: job.StatusFailed})
		if err != nil || !r.Already {
			t.Error("second result:", r, err)
		}
	})
}

func clearCursor(e *job.Event) *job.Event {
	e.Cursor = ""
	return e
}

// A cursor whose following events were deleted has expired, and the error names the earliest one.
func TestCursorOfDeletedEventsExpires(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		var cursors []string
		for range 3 {
			cursors = append(cursors, b.report(t, "job", job.StatusRunning))
		}
		live, _ := b.watch(t, "job", cursors[0])
		b.raw.XTrimMinID(b.ctx, b.key("argus_completion:job"), cursors[2])

		_, _, err := b.broker.Watch(b.ctx, "job", cursors[0])
		var expired *job.CursorExpiredError
		if !errors.As(err, &expired) {
			t.Fatal(err)
		}
		resumed, _ := b.watch(t, "job", expired.Earliest)
		if event := b.next(t, resumed); event.Cursor != cursors[2] {
			t.Errorf("after the earliest cursor %s comes %s, want %s", expired.Earliest, event.Cursor, cursors[2])
		}
		// The watch still returns what it read before the trim, then the same error.
		for range 2 {
			b.next(t, live)
		}
		b.raw.Del(b.ctx, b.key("argus_completion:job"))
		if _, err := live.Next(b.ctx, longWait); !errors.As(err, &expired) {
			t.Error("a live watch whose history was deleted:", err)
		}
		if _, _, err := b.broker.Watch(b.ctx, "job", cursors[1]); !errors.As(err, &expired) || expired.Earliest != "0-0" {
			t.Error("no events left:", err)
		}
		for _, bad := range []string{"x", "1", "1-", "-1-0", "01-0", "1-1-1", "99999999999999999999-0"} {
			if _, _, err := b.broker.Watch(b.ctx, "job", bad); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
	})
}

// Await returns the terminal event, or nothing when its time is over.
func TestAwaitReturnsTheResultOrNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		if event, err := b.broker.Await(b.ctx, "job", time.Millisecond); err != nil || event != nil {
			t.Error("time out:", event, err)
		}
		b.report(t, "job", job.StatusRunning)
		go b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCancelled})
		event, err := b.broker.Await(b.ctx, "job", longWait)
		if err != nil || event == nil || event.Status != job.StatusCancelled {
			t.Errorf("Await: %+v, %v; want an event and event.Status == job.StatusCancelled", event, err)
		}
	})
}

// A watch continues after Redis was restarted.
func TestWatchSurvivesARedisRestart(t *testing.T) {
	t.Parallel()
	server := redistest.Own(t, "--appendonly", "yes", "--appendfsync", "always")
	b := setup(t, server.Engine(), job.Settings{})
	w, _ := b.watch(t, "job", "")
	b.report(t, "job", job.StatusRunning)
	b.next(t, w)
	server.Kill()
	if event, err := w.Next(b.ctx, 50*time.Millisecond); event != nil || err != nil {
		t.Error("while Redis is away:", event, err)
	}
	if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrUnavailable) {
		t.Error("a write while Redis is away:", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("argus_completion:job"), Values: []any{"status", "completed"}})
	if event := b.next(t, w); event.Status != job.StatusCompleted {
		t.Error(event)
	}
}
