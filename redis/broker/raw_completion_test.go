package broker_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A raw worker that appends its completion and leaves the state as it was has ended the job: every read
// reports that at once, and the stored status follows.
func TestStateFollowsARawCompletion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		seen := map[string]func(t *testing.T, b *bundle, id string) job.Status{
			"State": func(t *testing.T, b *bundle, id string) job.Status {
				state, err := b.broker.State(b.ctx, id, nil)
				if err != nil || state.Fields["status"] != string(state.Status) || state.Fields["trivy"] != "1" {
					t.Errorf(`State: %+v, %v; want state.Fields["status"] == string(state.Status) and state.Fields["trivy"] == "1"`, state, err)
				}
				return state.Status
			},
			"State of some fields": func(t *testing.T, b *bundle, id string) job.Status {
				state, err := b.broker.State(b.ctx, id, []string{"status"})
				if err != nil || len(state.Fields) != 1 {
					t.Errorf("State: %+v, %v; want len(state.Fields) == 1", state, err)
				}
				return job.Status(state.Fields["status"])
			},
			"StateField": func(t *testing.T, b *bundle, id string) job.Status {
				status, err := b.broker.StateField(b.ctx, id, "status")
				if err != nil {
					t.Error(err)
				}
				return job.Status(status)
			},
			"ListJobs": func(t *testing.T, b *bundle, id string) job.Status {
				jobs, _, err := b.broker.ListJobs(b.ctx, "", 1000)
				if err != nil {
					t.Error(err)
				}
				for _, j := range jobs {
					if j.JobID == id {
						return j.Status
					}
				}
				return ""
			},
			"Job": func(t *testing.T, b *bundle, id string) job.Status {
				info, err := b.broker.Job(b.ctx, id)
				if err != nil {
					t.Error(err)
				}
				return info.Status
			},
			"Watch": func(t *testing.T, b *bundle, id string) job.Status {
				w, snapshot, err := b.broker.Watch(b.ctx, id, "")
				if err != nil {
					t.Fatal(err)
				}
				w.Close()
				return snapshot.Status
			},
		}
		for name, read := range seen {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for encoding, completion := range map[string][]any{
					"fields":            {"job_id", "job", "status", "failed", "completed_at", "1700000000"},
					"json":              {"data", `{"job_id":"job","status":"failed","completed_at":"2023-11-14T22:13:20Z","results":{"a":1}}`},
					"with progress too": {"status", "failed", "completed_at", "1700000000"},
				} {
					b := setup(t, e, job.Settings{})
					id := strings.ReplaceAll(name+encoding, " ", "-")
					b.raw.HSet(b.ctx, b.key("job_state:"+id), "status", "running", "trivy", "1")
					if encoding == "with progress too" {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+id), "status", "running"))
					}
					b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+id), completion...))
					if got := read(t, b, id); got != job.StatusFailed {
						t.Errorf("%s: %q, want failed", encoding, got)
					}
					await(t, b.ctx, func() bool { return b.hash(t, "job_state:"+id)["status"] == "failed" })
					if at := b.hash(t, "job_state:"+id)["completed_at"]; at != "1700000000" {
						t.Errorf("%s: completed at %q", encoding, at)
					}
				}
			})
		}
	})
}

// A watch that is live when the raw worker reports causes the stored status to be corrected, too.
func TestLiveWatchCorrectsTheState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		w, snapshot, err := b.broker.Watch(b.ctx, "job", "")
		if err != nil || snapshot.Status != job.StatusRunning {
			t.Fatalf("Watch: %+v, %v; want snapshot.Status == job.StatusRunning", snapshot, err)
		}
		defer w.Close()
		b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", "completed"))
		if event, err := w.Next(b.ctx, time.Minute); err != nil || event == nil || event.Status != job.StatusCompleted {
			t.Fatalf("Next: %+v, %v; want an event and event.Status == job.StatusCompleted", event, err)
		}
		await(t, b.ctx, func() bool { return b.hash(t, "job_state:job")["status"] == "completed" })
	})
}

// A status is corrected by the job's result, its first terminal event, whatever raw peers append after it.
// A result that was withdrawn does not come back.
func TestStatusIsCorrectedByTheFirstResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		heal := func(id, want string) {
			t.Helper()
			if err := b.broker.Heal(b.ctx, id); err != nil {
				t.Fatal(err)
			}
			if status := b.hash(t, "job_state:"+id)["status"]; status != want {
				t.Errorf("%s: %q, want %q", id, status, want)
			}
		}
		report := func(status string) string {
			return b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", status)).Val()
		}
		b.raw.XDel(b.ctx, b.key("argus_completion:job"), report("failed"))
		heal("job", "running")
		report("completed")
		report("failed")
		heal("job", "completed")
		heal("none", "")
		if len(b.hash(t, "job_state:none")) != 0 {
			t.Error("a state was made")
		}
	})
}
