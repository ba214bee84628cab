package broker_test

import (
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A job has one result, whatever raw peers append after it: many events, events that look terminal, copies
// of the result itself.
func TestFirstResultCountsWhateverFollows(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for name, before := range map[string]func(id string){
			"first":          func(string) {},
			"after progress": func(id string) { b.report(t, id, job.StatusRunning) },
			"after many": func(id string) {
				for range 20 {
					b.report(t, id, job.StatusRunning)
				}
			},
			"after others": func(id string) { b.peerEvents(t, id, 520, "status", "running") },
			"after JSON":   func(id string) { b.peerEvents(t, id, 520, "data", `{"status":"running"}`) },
		} {
			t.Run(name, func(t *testing.T) {
				id := strings.ReplaceAll(name, " ", "-")
				b.publish(t, job.Task{JobID: id})
				token := b.readOne(t, "w").Lease.Token()
				before(id)
				first, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusCompleted})
				if err != nil || first.Already {
					t.Fatalf("Complete: %+v, %v; want !first.Already", first, err)
				}
				events := b.stream(t, "argus_completion:"+id)
				check := func() {
					t.Helper()
					again, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusFailed})
					if err != nil || !again.Already || again.Cursor != first.Cursor {
						t.Error("complete:", again, err, "want", first.Cursor)
					}
					for _, status := range []job.Status{job.StatusFailed, job.StatusRunning} {
						again, err = b.broker.Report(b.ctx, id, job.Result{Status: status})
						if err != nil || !again.Already || again.Cursor != first.Cursor {
							t.Error("report:", again, err, "want", first.Cursor)
						}
					}
					if c, err := b.broker.Cancel(b.ctx, id, ""); err != nil || c.Was != job.StatusCompleted || c.Cursor != first.Cursor {
						t.Error("cancel:", c, err)
					}
					if info, err := b.broker.Job(b.ctx, id); err != nil || info.Result == nil || info.Result.Cursor != first.Cursor {
						t.Error("job:", info, err)
					}
				}
				check()
				b.peerEvents(t, id, 120, "status", "running")
				check()
				var copied []any
				for name, value := range events[len(events)-1].Values {
					copied = append(copied, name, value)
				}
				b.peerEvents(t, id, 1, copied...)
				b.peerEvents(t, id, 1, "status", "failed")
				b.peerEvents(t, id, 520, "data", `{"status":"running"}`)
				check()
				b.raw.Del(b.ctx, b.key("argus_scan:"+id)) // evicted
				check()
				if n := len(b.stream(t, "argus_completion:"+id)); n != len(events)+642 {
					t.Error(n, "events, of which", len(events)+642, "were written")
				}
			})
		}
	})
}

// A raw peer's result is the job's, however many events are around it.
func TestRawResultAmongManyEventsCounts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for name, values := range map[string][]any{"fields": {"status", "partial"}, "json": {"data", `{"status":"partial"}`}} {
			b.peerEvents(t, name, 520, "data", `{"status":"running"}`)
			id := b.add(t, "argus_completion:"+name, values...)
			b.peerEvents(t, name, 120, "status", "running")
			b.publish(t, job.Task{JobID: name})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				r, err := b.broker.Report(b.ctx, name, job.Result{Status: job.StatusFailed})
				if err != nil || !r.Already || r.Cursor != id {
					t.Error(name, r, err, "want", id)
				}
			}
		}
	})
}

// When a stream of events is deleted, what is known of it is forgotten.
func TestDeletedEventsAreForgotten(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 20 {
			b.report(t, "job", job.StatusRunning)
		}
		if n := b.raw.Exists(b.ctx, b.key("argus_scan:job")).Val(); n != 1 {
			t.Fatal("where the walk ended is not kept")
		}
		b.raw.Del(b.ctx, b.key("argus_completion:job"))
		ids := []string{"1-1", "2-1"} // before all that was there
		for _, id := range ids {
			add := entry(b.key("argus_completion:job"), "status", "failed")
			add.ID = id
			b.raw.XAdd(b.ctx, add)
		}
		if r, err := b.broker.Report(b.ctx, "job", job.Result{Status: job.StatusCompleted}); err != nil || !r.Already || r.Cursor != ids[0] {
			t.Errorf("Report: %+v, %v; want r.Already and r.Cursor == ids[0]", r, err)
		}
	})
}

// A job that has its result keeps its state when it is run again.
func TestRerunDoesNotChangeTheState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.report(t, "job", job.StatusPartial)
		b.publish(t, job.Task{JobID: "job"})
		token := b.readOne(t, "w").Lease.Token()
		if _, err := b.broker.Extend(b.ctx, token, map[string]string{"status": "running"}); err != nil {
			t.Fatal(err)
		}
		if r, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusFailed}); err != nil || !r.Already {
			t.Errorf("Complete: %+v, %v; want r.Already", r, err)
		}
		if s := b.hash(t, "job_state:job"); s["status"] != "partial" {
			t.Error("state", s)
		}
	})
}

// A report without a lease records one result; a worker that completes the task later receives that result.
func TestReportWithoutALeaseRecordsOneResult(t *testing.T) {
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
		// The job's task is still leased; its worker completes it, and learns of the result.
		b.publish(t, job.Task{JobID: "job"})
		r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusFailed})
		if err != nil || !r.Already || r.Cursor != first || b.pending(t) != 0 {
			t.Error("Complete of a job that has its result:", r, err)
		}
	})
}
