package result

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestCombine(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		parts string
		want  job.Status
	}{
		"one completed":           {"a=completed", job.StatusCompleted},
		"all completed":           {"a=completed b=completed", job.StatusCompleted},
		"one open":                {"a=completed b=", job.StatusRunning},
		"one unknown":             {"a=completed b=odd", job.StatusRunning},
		"failed and open":         {"a=failed b=", job.StatusRunning},
		"all cancelled":           {"a=cancelled b=cancelled", job.StatusCancelled},
		"all failed":              {"a=failed b=failed", job.StatusFailed},
		"failed and cancelled":    {"a=failed b=cancelled", job.StatusFailed},
		"completed and failed":    {"a=completed b=failed", job.StatusPartial},
		"completed and cancelled": {"a=completed b=cancelled", job.StatusPartial},
		"partial":                 {"a=partial", job.StatusPartial},
		"partial and failed":      {"a=partial b=failed", job.StatusPartial},
		"all partial":             {"a=partial b=partial", job.StatusPartial},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := combine(parseParts(c.parts)); got != c.want {
				t.Errorf("combine(%s) = %s, want %s", c.parts, got, c.want)
			}
		})
	}
}

var testTime = time.Unix(1700000000, 0)

func TestJobChangeState(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		result      job.Result
		part, parts string
		status      job.Status
		state       map[string]string
	}{
		"progress": {job.Result{Status: job.StatusRunning, Fields: map[string]string{"step": "1"}}, "", "", job.StatusRunning, nil},
		"completed": {job.Result{Status: job.StatusCompleted, Fields: map[string]string{"n": "1"}}, "", "", job.StatusCompleted,
			map[string]string{"n": "1", "status": "completed", "completed_at": "1700000000"}},
		"failed": {job.Result{Status: job.StatusFailed, Error: "no disk"}, "", "", job.StatusFailed,
			map[string]string{"status": "failed", "completed_at": "1700000000", "error_message": "no disk"}},
		"first part": {job.Result{Status: job.StatusFailed, Error: "no disk"}, "a", "a= b=", job.StatusRunning,
			map[string]string{"status": "running", "a_status": "failed", "error_message": "a: no disk"}},
		"last part": {job.Result{Status: job.StatusCompleted}, "a", "a= b=failed", job.StatusPartial,
			map[string]string{"status": "partial", "a_status": "completed", "completed_at": "1700000000"}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			change := newJobChange(c.result, c.part, c.parts, testTime)
			if change.status != c.status {
				t.Errorf("status %s, want %s", change.status, c.status)
			}
			if diff := cmp.Diff(c.state, change.state); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// The event that ends a job with parts carries the statuses of all parts; those before it only their own.
func TestJobChangePartEvents(t *testing.T) {
	t.Parallel()
	first := newJobChange(job.Result{Status: job.StatusCompleted}, "a", "a= b=", testTime)
	want := map[string]string{"a_status": "completed"}
	if diff := cmp.Diff(want, first.fields); diff != "" {
		t.Error(diff)
	}
	last := newJobChange(job.Result{Status: job.StatusCompleted}, "b", "a=completed b=", testTime)
	want = map[string]string{"a_status": "completed", "b_status": "completed"}
	if diff := cmp.Diff(want, last.fields); diff != "" {
		t.Error(diff)
	}
}

func TestJobChangeLeavesTheResultAlone(t *testing.T) {
	t.Parallel()
	fields := map[string]string{"n": "1"}
	newJobChange(job.Result{Status: job.StatusCompleted, Fields: fields}, "", "", testTime)
	newJobChange(job.Result{Status: job.StatusCompleted, Fields: fields}, "a", "a=", testTime)
	if diff := cmp.Diff(map[string]string{"n": "1"}, fields); diff != "" {
		t.Error(diff)
	}
}

// Both forms of an event decode to the same event.
func TestJobChangeEncode(t *testing.T) {
	t.Parallel()
	change := newJobChange(job.Result{Status: job.StatusFailed, Error: "no disk", Fields: map[string]string{"n": "1"}}, "a", "a= b=completed", testTime)
	want := job.Event{JobID: "job", Cursor: "1-1", Status: job.StatusPartial, CompletedAt: testTime, Part: "a",
		Fields: map[string]string{"error_message": "no disk", "n": "1", "a_status": "failed", "b_status": "completed"}}
	for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
		event := job.DecodeEvent("job", "1-1", job.EntryFields(change.encode("job", encoding, testTime)))
		if !event.CompletedAt.Equal(want.CompletedAt) {
			t.Error(encoding, event.CompletedAt)
		}
		event.CompletedAt = want.CompletedAt
		if diff := cmp.Diff(want, event); diff != "" {
			t.Error(encoding, diff)
		}
	}
}

func TestJobChangeEncodesEmptyFieldsAsObject(t *testing.T) {
	t.Parallel()
	change := newJobChange(job.Result{Status: job.StatusRunning}, "", "", testTime)
	event := change.encode("job", job.EncodingJSON, testTime)
	if len(event) != 2 || event[0] != "data" || !strings.Contains(event[1], `"results":{}`) {
		t.Errorf("%q", event)
	}
}
