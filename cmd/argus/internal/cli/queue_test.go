package cli_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestQueueCommands(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	for _, job := range []string{"a", "b", "c"} {
		c.Run(0, "publish", "--job-id", job)
	}
	say := func(code int, want string, args ...string) {
		t.Helper()
		out, errs := c.Run(code, args...)
		if !strings.Contains(out+errs, want) {
			t.Errorf("argus %s: want %q:\n%s%s", strings.Join(args, " "), want, out, errs)
		}
	}
	token := c.Token("w")
	say(0, "put to the dead letters", "nack", token, "--dead-letter", "--reason", "no such image")
	say(shell.ExitJobFailed, "rejected: no such image", "await", "a")
	say(0, "cause", "job", "show", "a")
	say(0, "no such image", "dead", "ls")
	out, _ := c.Run(0, "dead", "ls", "-o", "jsonl")
	var letter struct{ ID string }
	if err := json.Unmarshal([]byte(out), &letter); err != nil || letter.ID == "" {
		t.Fatal(out, err)
	}
	say(shell.ExitUsage, "want ids of dead letters, or --all", "dead", "redrive")
	say(shell.ExitNotFound, "1 of 2 were not there", "dead", "redrive", letter.ID, "1-1")
	say(0, "0 removed", "dead", "rm", "--all")
	token = c.Token("w")
	say(0, "given back, due in", "nack", token, "--delay", "1h")
	token = c.Token("w")
	say(0, "given back\n", "nack", token, "--release")
	token = c.Token("w")
	say(0, "leased in argus_task_queue", "job", "show", "c")
	say(0, "argus_task_queue  1        1       1        0", "queue", "ls")
	say(0, "argus-workers  w         1    0s ago", "queue", "describe")
	say(0, "its worker is asked to stop", "job", "cancel", "c", "--reason", "enough")
	say(0, "cancel requested", "extend", token)
	say(0, "dropped: its job was cancelled", "nack", token)
	say(0, "it had its result already: cancelled", "job", "cancel", "c")
	say(shell.ExitNotFound, "JOB_NOT_FOUND", "job", "cancel", "nobody")
	say(shell.ExitNotFound, "JOB_NOT_FOUND", "job", "show", "nobody")
	say(shell.ExitNotFound, "QUEUE_NOT_FOUND", "queue", "describe", "none")
	say(0, "paused", "queue", "pause")
	if out, _ := c.Run(0, "read", "--wait", "0s", "-o", "jsonl"); out != "" {
		t.Error("a paused queue gave", out)
	}
	say(0, "resumed", "queue", "resume")
	say(shell.ExitUsage, "would remove 1 waiting and 1 delayed; 0 stay", "queue", "purge")
	say(0, "removed 1 waiting and 1 delayed; 0 stay", "queue", "purge", "--yes")
	say(0, "cancelled", "job", "show", "a")

	// A job of two parts, worked off by a worker.
	w := argustest.StartWorker(t, c.Addr, "--", argustest.Script(t, `[ "$ARGUS_PART" = trivy ] && echo ok`))
	say(0, "", "state", "init", "parts", "--part", "trivy", "--part", "clamav")
	c.Run(0, "publish", "--job-id", "parts", "--part", "trivy")
	c.Run(0, "publish", "--job-id", "parts", "--part", "clamav")
	say(shell.ExitJobPartial, "the job parts is partial", "await", "parts")
	out, _ = c.Run(0, "state", "get", "parts")
	if !strings.Contains(out, "trivy_status   completed") || !strings.Contains(out, "clamav_status  failed") {
		t.Error(out, w.Stderr.String())
	}
}
