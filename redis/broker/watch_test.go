package broker_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// longWait is longer than any test waits; a test that needs it all fails.
const longWait = redistest.Patience

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

func TestWatchBeforeAndAfter(t *testing.T) {
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

func TestWatchSeesRawPeersAndOtherServers(t *testing.T) {
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
		// A raw peer's result is a result: no second one is recorded.
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

func TestCursorExpired(t *testing.T) {
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
		// What the watch has read before the trim it still tells, then it says so too.
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

func TestManyEventsInOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const n = 350 // several pages
		w, _ := b.watch(t, "job", "")
		var reporter sync.WaitGroup
		defer reporter.Wait()
		reporter.Go(func() {
			for range n {
				if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning}); err != nil {
					t.Error(err)
				}
			}
			if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted}); err != nil {
				t.Error(err)
			}
		})
		var last [2]int
		seen := 0
		for !w.Done() {
			event, at := b.next(t, w), [2]int{}
			if _, err := fmt.Sscanf(event.Cursor, "%d-%d", &at[0], &at[1]); err != nil || slices.Compare(at[:], last[:]) <= 0 {
				t.Fatalf("%v after %v (%v)", at, last, err)
			}
			last, seen = at, seen+1
			if seen%50 == 0 { // reconnect now and then
				w, _ = b.watch(t, "job", w.Cursor())
			}
		}
		if seen != n+1 {
			t.Errorf("%d events, want %d", seen, n+1)
		}
	})
}

func TestCompletionEventsAreBounded(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 1000 {
			b.report(t, "job", job.StatusRunning)
		}
		if _, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusRunning}); !errors.Is(err, job.ErrTooManyEvents) {
			t.Error(err)
		}
		b.report(t, "job", job.StatusCompleted)
		w, _ := b.watch(t, "job", "")
		n := 0
		for ; !w.Done(); n++ {
			b.next(t, w)
		}
		if n != 1001 {
			t.Error(n, "events")
		}
	})
}

func TestAwait(t *testing.T) {
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
			t.Error(event, err)
		}
	})
}

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

func TestWaitingReadersAreServed(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const workers = 20
		got := make(chan string, workers)
		for i := range workers {
			go func() {
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: longWait})
				if err != nil || len(d) != 1 {
					t.Error(d, err)
					got <- ""
					return
				}
				got <- d[0].Task.JobID
			}()
		}
		for i := range workers / 2 {
			b.publish(t, job.Task{JobID: fmt.Sprint("grpc-", i)})
			b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: []any{"job_id", fmt.Sprint("raw-", i)}})
		}
		seen := make(map[string]bool)
		for range workers {
			id := <-got
			if seen[id] {
				t.Error("delivered twice:", id)
			}
			seen[id] = true
		}
	})
}

func TestWaitingReadTakesAnExpiredLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Lease: 100 * time.Millisecond}})
		b.publish(t, job.Task{JobID: "job"})
		b.readOne(t, "crashed")
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
		if err != nil || len(d) != 1 || d[0].Attempt != 2 {
			t.Error(d, err)
		}
	})
}

func TestReadEndsWithItsContext(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		ctx, cancel := context.WithCancel(b.ctx)
		ended := make(chan error)
		go func() {
			_, err := b.broker.Read(ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
			ended <- err
		}()
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		b.publish(t, job.Task{JobID: "job"})
		if d := b.readOne(t, "other"); d.Attempt != 1 {
			t.Error("attempt", d.Attempt)
		}
	})
}

func TestReportWithoutALease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.report(t, "job", job.StatusRunning)
		if s := b.hash(t, "job_state:job"); len(s) != 0 {
			t.Error("an event that is not terminal wrote state", s)
		}
		first := b.report(t, "job", job.StatusCompleted)
		if s := b.hash(t, "job_state:job"); s["status"] != "completed" {
			t.Error("state", s)
		}
		if again := b.report(t, "job", job.StatusFailed); again != first {
			t.Error("a second result:", again)
		}
		if s := b.hash(t, "job_state:job"); s["status"] != "completed" {
			t.Error("state after a second result", s)
		}
		// The job's task is still out; its worker completes it, and is told.
		b.publish(t, job.Task{JobID: "job"})
		r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusFailed})
		if err != nil || !r.Already || r.Cursor != first || b.pending(t) != 0 {
			t.Error("Complete of a job that has its result:", r, err)
		}
	})
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		token := d.Lease.Token()
		foreign := d.Lease
		foreign.Prefix = "other:"
		many := make(map[string]string)
		for i := range job.MaxFields + 1 {
			many[fmt.Sprint(i)] = ""
		}
		big := strings.Repeat("x", job.MaxValueBytes+1)
		publish := func(r queue.PublishRequest) func() error {
			return func() error { _, _, err := b.broker.Publish(b.ctx, r); return err }
		}
		complete := func(token string, r job.Result) func() error {
			return func() error { _, err := b.broker.Complete(b.ctx, token, r); return err }
		}
		completed := job.StatusCompleted
		before := b.dump(t)
		for name, c := range map[string]struct {
			field string // "" for a bad token
			call  func() error
		}{
			"glob id":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "a*"}})},
			"braces":         {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "{a}"}})},
			"control":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: "a\nb"}})},
			"long id":        {"task.job_id", publish(queue.PublishRequest{Task: job.Task{JobID: strings.Repeat("a", 257)}})},
			"reserved queue": {"queue", publish(queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "job_state:x"}})},
			"request id":     {"request_id", publish(queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "a]"}})},
			"timeout":        {"task.timeout_seconds", publish(queue.PublishRequest{Task: job.Task{TimeoutSeconds: -1}})},
			"attributes":     {"task.attributes", publish(queue.PublishRequest{Task: job.Task{Attributes: many}})},
			"value":          {`task.attributes["k"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"k": big}}})},
			"text":           {"task.gcs_uri", publish(queue.PublishRequest{Task: job.Task{GCSURI: big}})},
			"reserved name":  {`task.attributes["argus_attempt"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"argus_attempt": "9"}}})},
			"known name":     {`task.attributes["job_id"]`, publish(queue.PublishRequest{Task: job.Task{Attributes: map[string]string{"job_id": "9"}}})},
			"delay":          {"delay", publish(queue.PublishRequest{Delay: -1})},
			"long delay":     {"delay", publish(queue.PublishRequest{Delay: job.MaxDelay + 1})},
			"both":           {"run_at", publish(queue.PublishRequest{Delay: 1, RunAt: created})},
			"far":            {"run_at", publish(queue.PublishRequest{RunAt: time.Now().Add(2 * job.MaxDelay)})},
			"state":          {`initial_state.fields[""]`, publish(queue.PublishRequest{State: &job.InitialState{Fields: map[string]string{"": "x"}}})},
			"ttl":            {"initial_state.ttl", publish(queue.PublishRequest{State: &job.InitialState{TTL: -1}})},
			"batch": {"tasks[1].job_id", func() error {
				_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: []job.Task{{}, {JobID: "?"}}})
				return err
			}},
			"empty batch":   {"tasks", func() error { _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{}); return err }},
			"consumer":      {"consumer", func() error { _, err := b.broker.Read(b.ctx, queue.ReadRequest{}); return err }},
			"max":           {"max_tasks", func() error { _, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: -1}); return err }},
			"no tokens":     {"lease_tokens", func() error { _, err := b.broker.Ack(b.ctx, nil); return err }},
			"no status":     {"status", complete(token, job.Result{})},
			"running":       {"status", complete(token, job.Result{Status: job.StatusRunning})},
			"own field":     {`fields["status"]`, complete(token, job.Result{Status: completed, Fields: map[string]string{"status": "x"}})},
			"long error":    {"error_message", complete(token, job.Result{Status: completed, Error: big})},
			"no token":      {"", complete("", job.Result{Status: completed})},
			"garbage token": {"", complete("garbage", job.Result{Status: completed})},
			"changed token": {"", complete("B"+token[1:], job.Result{Status: completed})},
			"cut token":     {"", complete(token[:len(token)-2], job.Result{Status: completed})},
			"foreign token": {"", complete(foreign.Token(), job.Result{Status: completed})},
			"nack delay":    {"delay", func() error { return b.nack(queue.NackRequest{Token: token, Delay: new(time.Duration(-1))}) }},
			"nack both": {"delay", func() error {
				return b.nack(queue.NackRequest{Token: token, Delay: new(time.Duration(1)), DeadLetter: true})
			}},
			"nack reason": {"reason", func() error { return b.nack(queue.NackRequest{Token: token, Reason: big}) }},
			"progress":    {"progress_fields", func() error { _, err := b.broker.Extend(b.ctx, token, many); return err }},
			"no fields":   {"fields", func() error { return b.broker.SetState(b.ctx, "job", nil, "") }},
			"other job":   {"", func() error { return b.broker.SetState(b.ctx, "other", map[string]string{"a": "b"}, token) }},
			"empty job":   {"job_id", func() error { _, err := b.broker.State(b.ctx, "", nil); return err }},
		} {
			err := c.call()
			var argument *job.ArgumentError
			switch {
			case c.field == "":
				if !errors.Is(err, job.ErrLeaseToken) {
					t.Errorf("%s: %v", name, err)
				}
			case !errors.As(err, &argument) || argument.Field != c.field:
				t.Errorf("%s: %v, want a fault of %s", name, err, c.field)
			}
		}
		if diff := cmp.Diff(before, b.dump(t)); diff != "" {
			t.Error("something was written:", diff)
		}
	})
}

// dump is everything under the test's prefix.
func (b *bundle) dump(t *testing.T) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, key := range b.raw.Keys(b.ctx, b.key("*")).Val() {
		switch b.raw.Type(b.ctx, key).Val() {
		case "stream":
			all[key] = fmt.Sprint(b.raw.XRange(b.ctx, key, "-", "+").Val())
		case "hash":
			all[key] = fmt.Sprint(b.raw.HGetAll(b.ctx, key).Val())
		default:
			all[key] = "?"
		}
	}
	return all
}
