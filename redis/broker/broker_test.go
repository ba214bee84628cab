package broker_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var created = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func TestLifeOfATask(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		task := job.Task{JobID: "job-1", ReportID: "r", OrganizationID: "o", GCSURI: "gs://b/x", Scanners: []string{"trivy", "clamav"},
			TimeoutSeconds: 60, CreatedAt: created, Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff, 0}}}
		id := b.publish(t, task)

		d := b.readOne(t, "w1")
		if diff := cmp.Diff(task, d.Task); diff != "" {
			t.Error("task (-published +delivered):", diff)
		}
		if d.Lease.EntryID != id || d.Attempt != 1 {
			t.Errorf("entry %s attempt %d, want %s and 1", d.Lease.EntryID, d.Attempt, id)
		}
		if left := time.Until(d.ExpiresAt); left < job.DefaultLease/2 || left > 2*job.DefaultLease {
			t.Errorf("lease ends in %s", left)
		}
		if more := b.read(t, "w2", 10); len(more) != 0 {
			t.Errorf("a leased task was delivered again: %v", more)
		}

		result := job.Result{Status: job.StatusFailed, Fields: map[string]string{"findings": "3"}, Error: "boom"}
		done, err := b.broker.Complete(b.ctx, d.Lease.Token(), result)
		if err != nil || done.Already {
			t.Fatal(done, err)
		}
		state := b.hash(t, "job_state:job-1")
		if state["status"] != "failed" || state["findings"] != "3" || state["error_message"] != "boom" || state["completed_at"] == "" {
			t.Error("state", state)
		}
		events := b.stream(t, "argus_completion:job-1")
		if len(events) != 1 || events[0].ID != done.Cursor || events[0].Values["status"] != "failed" || events[0].Values["job_id"] != "job-1" {
			t.Error("events", events)
		}
		if entries := b.stream(t, job.DefaultQueue); len(entries) != 0 || b.pending(t) != 0 {
			t.Errorf("%d entries and %d pending are left", len(entries), b.pending(t))
		}
		for _, key := range []string{"job_state:job-1", "argus_completion:job-1"} {
			if ttl := b.raw.PTTL(b.ctx, b.key(key)).Val(); ttl <= 0 || ttl > job.DefaultStateTTL {
				t.Errorf("%s lives %s", key, ttl)
			}
		}

		again, err := b.broker.Complete(b.ctx, d.Lease.Token(), result)
		if err != nil || !again.Already || again.Cursor != done.Cursor {
			t.Error("repeated Complete:", again, err)
		}
	})
}

func TestLateWorkerLosesTheRace(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		late := b.readOne(t, "late")
		b.expire(t, late.Lease)
		b.broker = b.open(t, job.Settings{})
		next := b.readOne(t, "next")
		if next.Attempt != 2 || next.Lease.EntryID != late.Lease.EntryID {
			t.Fatalf("attempt %d of %s, want 2 of %s", next.Attempt, next.Lease.EntryID, late.Lease.EntryID)
		}
		lateToken := late.Lease.Token()
		lost := func(when string) {
			t.Helper()
			if _, err := b.broker.Complete(b.ctx, lateToken, job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Complete: %v", when, err)
			}
			if _, err := b.broker.Extend(b.ctx, lateToken, map[string]string{"x": "late"}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Extend: %v", when, err)
			}
			if err := b.nack(queue.NackRequest{Token: lateToken}); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: Nack: %v", when, err)
			}
			if err := b.broker.SetState(b.ctx, "job", map[string]string{"x": "late"}, lateToken); !errors.Is(err, job.ErrLeaseLost) {
				t.Errorf("%s: SetState: %v", when, err)
			}
		}
		lost("while the other works")
		if r, err := b.broker.Ack(b.ctx, []string{lateToken}); err != nil || r[0].Outcome != queue.LeaseLost {
			t.Error("Ack:", r, err)
		}
		if _, err := b.broker.Complete(b.ctx, next.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		lost("after the other completed")
		if r, err := b.broker.Ack(b.ctx, []string{lateToken, "garbage"}); err != nil || r[0].Outcome != queue.NotPending || r[1].Outcome != queue.Invalid {
			t.Error("Ack:", r, err)
		}
		if s := b.hash(t, "job_state:job"); s["status"] != "completed" || s["x"] != "" {
			t.Error("state", s)
		}
		if events := b.stream(t, "argus_completion:job"); len(events) != 1 || events[0].Values["status"] != "completed" {
			t.Error("events", events)
		}
	})
}

// A raw peer's XCLAIM with JUSTID takes a task over without counting a delivery.
func TestRawPeerTakesOver(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		raw := d.Lease
		raw.Consumer = "raw"
		if err := b.xclaim(raw, 0); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error(err)
		}
	})
}

func TestExpiredLeasesComeFirstOldestFirst(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for _, id := range []string{"a", "b", "c"} {
			b.publish(t, job.Task{JobID: id})
		}
		crashed := b.read(t, "crashed", 2)
		for _, d := range crashed {
			b.expire(t, d.Lease)
		}
		b.broker = b.open(t, job.Settings{})
		var order []string
		for _, d := range b.read(t, "w", 10) {
			order = append(order, d.Task.JobID)
		}
		if got := strings.Join(order, ""); got != "abc" {
			t.Error("order", got)
		}
	})
}

func TestDeletedUnderLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		b.publish(t, job.Task{JobID: "b"})
		for _, d := range b.read(t, "w", 2) {
			b.expire(t, d.Lease)
			if d.Task.JobID == "a" {
				b.raw.XDel(b.ctx, b.key(job.DefaultQueue), d.Lease.EntryID)
			}
		}
		b.broker = b.open(t, job.Settings{})
		if d := b.readOne(t, "v"); d.Task.JobID != "b" {
			t.Error("got", d.Task.JobID)
		}
		if n := b.pending(t); n != 1 {
			t.Error(n, "pending")
		}
	})
}

func TestOwnPending(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		b.publish(t, job.Task{JobID: "b"})
		before := b.readOne(t, "w")
		b.readOne(t, "other")
		own, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 10, OwnPending: true})
		if err != nil || len(own) != 1 || own[0].Task.JobID != "a" || own[0].Attempt != 2 {
			t.Fatal(own, err)
		}
		if _, err := b.broker.Complete(b.ctx, before.Lease.Token(), job.Result{Status: job.StatusFailed}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("the token from before the restart:", err)
		}
		if _, err := b.broker.Complete(b.ctx, own[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Error(err)
		}
	})
}

func TestNack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a", BinaryAttributes: map[string][]byte{"bin": {0xfe, ':', 0}}, CreatedAt: created})
		b.publish(t, job.Task{JobID: "b"})
		first := b.readOne(t, "w")
		if err := b.nack(queue.NackRequest{Token: first.Lease.Token(), Delay: new(time.Duration(0)), Reason: "later"}); err != nil {
			t.Fatal(err)
		}
		b.readOne(t, "w") // b: the other went to the end
		second := b.readOne(t, "w")
		if diff := cmp.Diff(first.Task, second.Task); diff != "" || second.Attempt != 2 || !second.PublishedAt.Equal(first.PublishedAt) {
			t.Errorf("requeued: attempt %d, published %s (was %s), %s", second.Attempt, second.PublishedAt, first.PublishedAt, diff)
		}

		if err := b.nack(queue.NackRequest{Token: second.Lease.Token(), Delay: new(20 * time.Millisecond)}); err != nil {
			t.Fatal(err)
		}
		third, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 5, Wait: 10 * time.Second})
		if err != nil || len(third) != 1 || third[0].Attempt != 3 || !third[0].PublishedAt.Equal(first.PublishedAt) {
			t.Fatal(third, err)
		}
		if diff := cmp.Diff(first.Task, third[0].Task); diff != "" {
			t.Error(diff)
		}

		if err := b.nack(queue.NackRequest{Token: third[0].Lease.Token(), DeadLetter: true, Reason: "poison"}); err != nil {
			t.Fatal(err)
		}
		dead := b.stream(t, "argus_dead:"+job.DefaultQueue)
		if len(dead) != 1 || dead[0].Values["job_id"] != "a" || dead[0].Values["argus_reason"] != "poison" ||
			dead[0].Values["argus_attempt"] != "3" || dead[0].Values["argus_source_id"] != third[0].Lease.EntryID || dead[0].Values["bin"] != "\xfe:\x00" {
			t.Error("dead letters", dead)
		}
		if err := b.nack(queue.NackRequest{Token: third[0].Lease.Token()}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("repeated:", err)
		}
	})
}

func TestExtend(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		b.expire(t, d.Lease)
		x, err := b.broker.Extend(b.ctx, d.Lease.Token(), map[string]string{"progress": "50"})
		if err != nil || x.Cancelled || time.Until(x.ExpiresAt) < job.DefaultLease/2 {
			t.Fatal(x, err)
		}
		if got := b.hash(t, "job_state:job")["progress"]; got != "50" {
			t.Error("progress", got)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 {
			t.Error("a state that Extend made lives", ttl)
		}
		b.broker = b.open(t, job.Settings{})
		if taken := b.read(t, "thief", 1); len(taken) != 0 {
			t.Error("an extended lease was taken")
		}
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "cancelled")
		if x, err := b.broker.Extend(b.ctx, d.Lease.Token(), nil); err != nil || !x.Cancelled {
			t.Error("cancelled:", x, err)
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCancelled}); err != nil {
			t.Error("the token is the same after extending:", err)
		}
	})
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		request := queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "req"}, Task: job.Task{ReportID: "r"}}
		first, again, err := b.broker.Publish(b.ctx, request)
		if err != nil || again || first.JobID == "" {
			t.Fatal(first, again, err)
		}
		second, again, err := b.broker.Publish(b.ctx, request)
		if err != nil || !again || second != first {
			t.Error("repeated:", second, again, err)
		}
		request.Task.ReportID = "other"
		if _, _, err := b.broker.Publish(b.ctx, request); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Error("another body:", err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "entries")
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("argus_request:16:argus_task_queue:req")).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
			t.Error("the record lives", ttl)
		}

		batch := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: "batch"}, Tasks: []job.Task{{}, {JobID: "x"}}}
		p, _, err := b.broker.PublishBatch(b.ctx, batch)
		if err != nil || len(p) != 2 || p[1].JobID != "x" {
			t.Fatal(p, err)
		}
		q, again, err := b.broker.PublishBatch(b.ctx, batch)
		if diff := cmp.Diff(p, q); err != nil || !again || diff != "" {
			t.Error("repeated batch:", err, diff)
		}
	})
}

func TestInitialState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		request := queue.PublishRequest{Task: job.Task{JobID: "job"}, State: &job.InitialState{Fields: map[string]string{"a": "1"}, TTL: time.Hour}}
		if _, _, err := b.broker.Publish(b.ctx, request); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"a": "1", "status": "pending"}, b.hash(t, "job_state:job")); diff != "" {
			t.Error(diff)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 || ttl > time.Hour {
			t.Error("lives", ttl)
		}
		if _, _, err := b.broker.Publish(b.ctx, request); !errors.Is(err, job.ErrJobExists) {
			t.Error("again:", err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "entries")
		}
	})
}

func TestDelay(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		publish := func(r queue.PublishRequest) {
			t.Helper()
			if p, _, err := b.broker.Publish(b.ctx, r); err != nil || p.EntryID != "" {
				t.Fatal(p, err)
			}
		}
		before := time.Now()
		publish(queue.PublishRequest{Task: job.Task{JobID: "far"}, RunAt: before.Add(time.Hour)})
		publish(queue.PublishRequest{Task: job.Task{JobID: "soon"}, Delay: 150 * time.Millisecond})
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 5, Wait: 10 * time.Second})
		if err != nil || len(d) != 1 || d[0].Task.JobID != "soon" {
			t.Fatal(d, err)
		}
		if waited := time.Since(before); waited < 150*time.Millisecond {
			t.Error("came after", waited)
		}
		if n := b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val(); n != 1 {
			t.Error(n, "still delayed")
		}
		p, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "past"}, RunAt: before.Add(-time.Hour)})
		if err != nil || p.EntryID == "" {
			t.Error("a time that has passed:", p, err)
		}
	})
}

func TestRawPeersTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json-queue": {Encoding: job.EncodingJSON}}})
		add := func(values ...any) {
			t.Helper()
			if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: values}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		add("job_id", "flat", "scanners", `["a","b"]`, "timeout_seconds", "30", "created_at", "1767323045", "extra", "1")
		add("data", `{"job_id":"json","scanners":["a"],"timeout_seconds":30,"created_at":"2026-01-02T03:04:05Z","n":9007199254740993}`)
		add("hello", "world")
		add("data", "no json")
		add("job_id", "bad{id}")
		add("job_id", "last", "scanners", "a, b", "timeout_seconds", "soon", "raw", "\xff")

		want := []job.Task{
			{JobID: "flat", Scanners: []string{"a", "b"}, TimeoutSeconds: 30, CreatedAt: created, Attributes: map[string]string{"extra": "1"}},
			{JobID: "json", Scanners: []string{"a"}, TimeoutSeconds: 30, CreatedAt: created, Attributes: map[string]string{"n": "9007199254740993"}},
			{JobID: "last", Scanners: []string{"a", "b"}, Attributes: map[string]string{"timeout_seconds": "soon"}, BinaryAttributes: map[string][]byte{"raw": {0xff}}},
		}
		var got []job.Task
		for _, d := range b.read(t, "w", 10) {
			got = append(got, d.Task)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error("tasks (-want +got):", diff)
		}
		dead := b.stream(t, "argus_dead:"+job.DefaultQueue)
		var reasons []string
		for _, d := range dead {
			reasons = append(reasons, d.Values["argus_reason"].(string))
		}
		if len(dead) != 3 || !strings.Contains(reasons[0], "no job_id") || !strings.Contains(reasons[1], "not a JSON object") || !strings.Contains(reasons[2], "job_id") {
			t.Error("dead letters", reasons)
		}
		if dead[0].Values["hello"] != "world" {
			t.Error("the quarantined entry lost its fields:", dead[0].Values)
		}
		if n := b.pending(t); n != 3 {
			t.Error(n, "pending, want the 3 delivered")
		}

		// The other way round: a raw worker of a JSON queue.
		_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "json-queue"},
			Task: job.Task{JobID: "j", Scanners: []string{"<a>"}, TimeoutSeconds: 7, CreatedAt: created, Attributes: map[string]string{"k": "v"}}})
		if err != nil {
			t.Fatal(err)
		}
		entry := b.stream(t, "json-queue")[0].Values
		data := `{"created_at":"2026-01-02T03:04:05Z","gcs_uri":"","job_id":"j","k":"v","organization_id":"","report_id":"","scanners":["<a>"],"timeout_seconds":7}`
		if diff := cmp.Diff(map[string]any{"data": data}, entry); diff != "" {
			t.Error(diff)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "json-queue", Consumer: "w"})
		if err != nil || len(d) != 1 {
			t.Fatal(d, err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"n": "1"}}); err != nil {
			t.Fatal(err)
		}
		event := b.stream(t, "argus_completion:j")[0].Values
		if s := event["data"].(string); !strings.Contains(s, `"results":{"n":"1"}`) || !strings.Contains(s, `"status":"completed"`) || !strings.Contains(s, `"completed_at":"20`) {
			t.Error("event", event)
		}
	})
}

func TestCallerGoneGivesBack(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		gone, cancel := contextCancelled(b.ctx)
		defer cancel()
		if d, err := b.broker.Read(gone, queue.ReadRequest{Consumer: "gone"}); err == nil {
			t.Error("delivered to a caller that is gone:", d)
		}
		if d := b.readOne(t, "w"); d.Attempt != 1 {
			t.Error("the lost delivery cost an attempt:", d.Attempt)
		}
	})
}

func TestAnswerFitsAMessage(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		big := strings.Repeat("x", job.MaxValueBytes)
		for _, id := range []string{"a", "b", "c", "d", "e"} {
			b.publish(t, job.Task{JobID: id, Attributes: map[string]string{"big": big}})
		}
		raw := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(job.DefaultQueue), Values: []any{"job_id", "huge", "x", big + big + big + big}})
		if raw.Err() != nil {
			t.Fatal(raw.Err())
		}
		var order []string
		for range 4 {
			for _, d := range b.read(t, "w", 10) {
				order = append(order, d.Task.JobID)
				if d.Attempt != 1 {
					t.Errorf("%s: attempt %d", d.Task.JobID, d.Attempt)
				}
			}
			if len(order) == 2 {
				b.publish(t, job.Task{JobID: "f"})
			}
		}
		if got := strings.Join(order, ""); got != "abcdef" {
			t.Error("order", got)
		}
		if dead := b.stream(t, "argus_dead:"+job.DefaultQueue); len(dead) != 1 || dead[0].Values["job_id"] != "huge" {
			t.Error(len(dead), "dead letters")
		}
	})
}

func TestTwoGroups(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		d := b.readOne(t, "w")
		if err := b.raw.XGroupCreate(b.ctx, b.key(job.DefaultQueue), "second", "0").Err(); err != nil {
			t.Fatal(err)
		}
		if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Fatal(r, err)
		}
		other, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: "second", Consumer: "w"})
		if err != nil || len(other) != 1 {
			t.Error("the second group lost the task:", other, err)
		}
	})
}

func TestEverythingDeleted(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "a"})
		d := b.readOne(t, "w")
		b.raw.XGroupDestroy(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup)
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("without its group:", err)
		}
		if d := b.readOne(t, "w"); d.Task.JobID != "a" {
			t.Error("after XGROUP DESTROY:", d)
		}
		b.raw.Del(b.ctx, b.key(job.DefaultQueue))
		if d := b.read(t, "w", 1); len(d) != 0 {
			t.Error("after DEL:", d)
		}
		b.raw.ScriptFlush(b.ctx)
		b.publish(t, job.Task{JobID: "b"})
		if d := b.readOne(t, "w"); d.Task.JobID != "b" {
			t.Error("after SCRIPT FLUSH:", d)
		}
	})
}

func TestWrongType(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.Set(b.ctx, b.key("q"), "text", 0)
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "q"}}); !errors.Is(err, job.ErrKeyType) {
			t.Error("Publish:", err)
		}
		if _, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "q", Consumer: "w"}); !errors.Is(err, job.ErrKeyType) {
			t.Error("Read:", err)
		}
		for _, key := range []string{"job_state:job", "argus_completion:job"} {
			b.publish(t, job.Task{JobID: "job"})
			d := b.readOne(t, "w")
			b.raw.Set(b.ctx, b.key(key), "text", 0)
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); !errors.Is(err, job.ErrKeyType) {
				t.Error("Complete:", err)
			}
			if n := b.pending(t); n != 1 {
				t.Errorf("%s: a Complete that failed settled the task: %d pending", key, n)
			}
			b.raw.Del(b.ctx, b.key(key))
			if _, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil {
				t.Error(err)
			}
		}
	})
}

// What was given back is leased to nothing: no worker can take the name by which it lies there,
// and no token can be made for it.
func TestReleasedTaskHasNoLease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.publish(t, job.Task{JobID: "job"})
		d := b.readOne(t, "w")
		if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Release: true}); err != nil {
			t.Fatal(err)
		}
		pending := b.raw.XPendingExt(b.ctx, pendingOf(b.key(job.DefaultQueue), job.DefaultGroup)).Val()
		if len(pending) != 1 {
			t.Fatal(pending)
		}
		result := job.Result{Status: job.StatusCompleted}
		for _, consumer := range []string{pending[0].Consumer, "argus-released"} {
			for _, own := range []bool{false, true} {
				if _, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: consumer, OwnPending: own}); !errors.Is(err, job.ErrInvalid) {
					t.Errorf("a worker may be called %q: %v", consumer, err)
				}
			}
			forged := d.Lease
			forged.Consumer, forged.Count = consumer, int(pending[0].RetryCount)
			if r, err := b.broker.Complete(b.ctx, forged.Token(), result); !errors.Is(err, job.ErrLeaseToken) {
				t.Errorf("a token of %q: %v, %v", consumer, r, err)
			}
		}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), result); !errors.Is(err, job.ErrLeaseLost) {
			t.Error("the token that was given back:", err)
		}
		if consumers, err := b.broker.Consumers(b.ctx, "", ""); err != nil || len(consumers) != 1 || consumers[0].Name != "w" {
			t.Error("it is shown as a worker:", consumers, err)
		}
		again := b.readOne(t, "w")
		if again.Attempt != 1 || again.Lease.Count != 2 {
			t.Errorf("attempt %d, delivery %d", again.Attempt, again.Lease.Count)
		}
		if _, err := b.broker.Complete(b.ctx, again.Lease.Token(), result); err != nil {
			t.Error(err)
		}
	})
}
