package result

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

func TestClassifyEvents(t *testing.T) {
	t.Parallel()
	got := classifyEvents("job", []string{"1-1", `{"status":"completed"}`, "1-2", `not JSON`, "1-3", `{"status":7}`, "1-4", `{"no":"status"}`})
	want := []string{"1-1", "completed", "1-2", "", "1-3", "7", "1-4", ""}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWriteAnswers(t *testing.T) {
	t.Parallel()
	w := Write{JobID: "job"}
	steps := []struct {
		reply []string
		want  Write
	}{
		{[]string{"JUDGE", "1-1", `{"status":"running"}`}, Write{JobID: "job", statuses: []string{"1-1", "running"}, asked: 1}},
		{[]string{"JUDGE", "1-2", `{"status":"x"}`}, Write{JobID: "job", statuses: []string{"1-1", "running", "1-2", "x"}, asked: 2}},
		{[]string{"AGAIN", ""}, Write{JobID: "job", statuses: []string{"1-1", "running", "1-2", "x"}}},
		{[]string{"AGAIN", "1-2 2 100"}, Write{JobID: "job"}},
		{[]string{"PART", "a"}, Write{JobID: "job", Part: "a", asked: 1}},
		{[]string{"PARTS", "a= b=failed"}, Write{JobID: "job", Part: "a", parts: "a= b=failed", asked: 2}},
	}
	for _, step := range steps {
		if !w.answer(step.reply) {
			t.Error(step.reply, "is a question")
		}
		if diff := cmp.Diff(step.want, w, cmp.AllowUnexported(Write{})); diff != "" {
			t.Error(step.reply, diff)
		}
	}
	if w.answer([]string{"OK", "1-1"}) {
		t.Error("OK is not a question")
	}
}

func TestWriteArgs(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", job.SmallResultBytes+1)
	cases := map[string]struct {
		write Write
		want  []string
	}{
		"whole job": {Write{JobID: "job", mark: "m", Results: []job.Result{{Status: job.StatusCompleted}}},
			[]string{"job", "0", "m", "", "", "final", "completed", "4", "status", "completed", "completed_at", "1700000000", "-1"}},
		"answers": {Write{JobID: "job", statuses: []string{"1-1", "running"}, parts: "a="},
			[]string{"job", "2", "1-1", "running", "", "", "a="}},
		"part that does not end the job": {Write{JobID: "job", mark: "m", Part: "a", parts: "a= b=", Results: []job.Result{{Status: job.StatusCompleted}}},
			[]string{"job", "0", "m", "a", "a= b=", "", "completed", "4", "a_status", "completed", "status", "running",
				"12", "job_id", "job", "status", "running", "completed_at", "1700000000", "part", "a", "a_status", "completed", "argus_lease", "m"}},
		"progress": {Write{JobID: "job", Results: []job.Result{{Status: job.StatusRunning, Fields: map[string]string{"n": large}}}},
			[]string{"job", "0", "", "", "", " large", "running", "0", "8", "job_id", "job", "status", "running", "completed_at", "1700000000", "n", large}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.write.Queue.Encoding = job.EncodingFields
			if diff := cmp.Diff(c.want, []string(c.write.appendArgs(nil, testTime))); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestErrContended(t *testing.T) {
	t.Parallel()
	err := errContended(&conn.Script{Name: "nack"})
	if !errors.Is(err, job.ErrUnavailable) || !strings.HasSuffix(err.Error(), "too many concurrent writes to the job; retry") {
		t.Error(err)
	}
}
