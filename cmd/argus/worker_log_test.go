package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// stop ends a worker as a service manager does, and returns what it said.
func (p *process) stop(t *testing.T) string {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Error(err)
	}
	return p.said()
}

// A worker says where it takes its tasks from, before there is any, and what becomes of them.
func TestWorkerSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	w := startWorker(t, c.addr, "--consumer", "w 1", "--group", "argus-workers", "--", script(t, `[ "$ARGUS_JOB_ID" = good ] || { echo "no such image" >&2; exit 1; }`))
	connected := "argus worker: connected to " + c.addr + `; queue argus_task_queue, group argus-workers, consumer "w 1"` + "\n"
	c.await("the connection", func() bool { return w.said() == connected })
	c.run(0, "publish", "--job-id", "good")
	c.run(0, "await", "good")
	c.run(0, "publish", "--job-id", "bad")
	c.run(exitFailed, "await", "bad")
	c.await("its end", func() bool { return strings.Contains(w.said(), "job bad: failed") })
	said := regexp.MustCompile(`in [0-9.]+m?s`).ReplaceAllString(w.stop(t), "in TIME")
	want := connected + `argus worker: job good: started, attempt 1
argus worker: job good: completed in TIME
argus worker: job bad: started, attempt 1
argus worker: job bad: failed in TIME: no such image
argus worker: 1 completed, 1 failed, 0 retried, 0 lost
`
	if said != want {
		t.Errorf("%s\nwant\n%s", said, want)
	}
}

func TestWorkerSaysItInJSON(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.run(0, "publish", "--job-id", "job") // first, so that the group is there when the worker connects
	w := startWorker(t, c.addr, "--log-format", "json", "--consumer", "w", "--", "true")
	c.await("its end", func() bool { return strings.Contains(w.said(), `"ended"`) })
	var events []string
	for line := range strings.Lines(w.stop(t)) {
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

func TestWorkerIsQuiet(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	w := startWorker(t, c.addr, "--quiet", "--", "true")
	c.run(0, "publish", "--job-id", "job")
	c.run(0, "await", "job")
	if said := w.stop(t); said != "" {
		t.Error(said)
	}
	var stdout, stderr bytes.Buffer
	if code := run(redistest.Context(t), []string{"worker", "--log-format", "xml", "--", "true"}, noEnv, &stdout, &stderr, nil); code != exitUsage {
		t.Error(code, &stderr)
	}
}
