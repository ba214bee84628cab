package cli_test

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A worker logs where it takes its tasks from, before there are tasks, and their outcomes.
func TestWorkerLog(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	w := argustest.StartWorker(t, c.Addr, "--consumer", "w 1", "--group", "argus-workers", "--", argustest.Script(t, `[ "$ARGUS_JOB_ID" = good ] || { echo "no such image" >&2; exit 1; }`))
	connected := "argus worker: connected to " + c.Addr + `; queue argus_task_queue, group argus-workers, consumer "w 1"` + "\n"
	c.Await("the connection", func() bool { return w.Stderr.String() == connected })
	c.Run(0, "publish", "--job-id", "good")
	c.Run(0, "await", "good")
	c.Run(0, "publish", "--job-id", "bad")
	c.Run(shell.ExitJobFailed, "await", "bad")
	c.Await("its end", func() bool { return strings.Contains(w.Stderr.String(), "job bad: failed") })
	logged := regexp.MustCompile(`in [0-9.]+m?s`).ReplaceAllString(w.Stop(t), "in TIME")
	want := connected + `argus worker: job good: started, attempt 1
argus worker: job good: completed in TIME
argus worker: job bad: started, attempt 1
argus worker: job bad: failed in TIME: no such image
argus worker: 1 completed, 1 failed, 0 retried, 0 lost
`
	if logged != want {
		t.Errorf("%s\nwant\n%s", logged, want)
	}
}

func TestWorkerLogInJSON(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "publish", "--job-id", "job") // first, so that the group is there when the worker connects
	w := argustest.StartWorker(t, c.Addr, "--log-format", "json", "--consumer", "w", "--", "true")
	c.Await("its end", func() bool { return strings.Contains(w.Stderr.String(), `"ended"`) })
	var events []string
	for line := range strings.Lines(w.Stop(t)) {
		var e struct {
			Msg, Queue, Group, Consumer, Outcome string
			JobID                                string `json:"job_id"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(line, err)
		}
		events = append(events, strings.Join(strings.Fields(strings.Join([]string{e.Msg, e.Queue, e.Group, e.Consumer, e.JobID, e.Outcome}, " ")), " "))
	}
	if got, want := strings.Join(events, "\n"), "connected argus_task_queue argus-workers w\nstarted job\nended job completed\nstopped"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestWorkerLogWhenQuiet(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	w := argustest.StartWorker(t, c.Addr, "--quiet", "--", "true")
	c.Run(0, "publish", "--job-id", "job")
	c.Run(0, "await", "job")
	if logged := w.Stop(t); logged != "" {
		t.Error(logged)
	}
	var stdout, stderr bytes.Buffer
	if code := argustest.Run(redistest.Context(t), []string{"worker", "--log-format", "xml", "--", "true"}, argustest.NoEnv, &stdout, &stderr); code != shell.ExitUsage {
		t.Error(code, &stderr)
	}
}
