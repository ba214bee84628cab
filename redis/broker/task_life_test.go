package broker_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A task is delivered as it was published; its completion writes one result, leaves no entry, and can be
// repeated.
func TestTaskIsPublishedLeasedAndCompletedOnce(t *testing.T) {
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
			t.Fatalf("Complete: %+v, %v; want !done.Already", done, err)
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
