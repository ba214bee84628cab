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
	token := c.Token("w")
	c.Want(0, "put to the dead letters", "nack", token, "--dead-letter", "--reason", "no such image")
	c.Want(shell.ExitJobFailed, "rejected: no such image", "await", "a")
	c.Want(0, "cause", "job", "show", "a")
	c.Want(0, "no such image", "dead", "ls")
	out, _ := c.Run(0, "dead", "ls", "-o", "jsonl")
	var letter struct{ ID string }
	if err := json.Unmarshal([]byte(out), &letter); err != nil || letter.ID == "" {
		t.Fatal(out, err)
	}
	c.Want(shell.ExitUsage, "want ids of dead letters, or --all", "dead", "redrive")
	c.Want(shell.ExitNotFound, "1 of 2 were not there", "dead", "redrive", letter.ID, "1-1")
	c.Want(0, "0 removed", "dead", "rm", "--all")
	token = c.Token("w")
	c.Want(0, "requeued, due in", "nack", token, "--delay", "1h")
	token = c.Token("w")
	c.Want(0, "requeued\n", "nack", token, "--release")
	token = c.Token("w")
	c.Want(0, "leased in argus_task_queue", "job", "show", "c")
	c.Want(0, "argus_task_queue  1        1       1        0", "queue", "ls")
	c.Want(0, "argus-workers  w         1    0s ago", "queue", "describe")
	c.Want(0, "its worker is asked to stop", "job", "cancel", "c", "--reason", "enough")
	c.Want(0, "cancel requested", "extend", token)
	c.Want(0, "dropped: its job was cancelled", "nack", token)
	c.Want(0, "it had its result already: cancelled", "job", "cancel", "c")
	c.Want(shell.ExitNotFound, "JOB_NOT_FOUND", "job", "cancel", "unknown")
	c.Want(shell.ExitNotFound, "JOB_NOT_FOUND", "job", "show", "unknown")
	c.Want(shell.ExitNotFound, "QUEUE_NOT_FOUND", "queue", "describe", "none")
	c.Want(0, "paused", "queue", "pause")
	if out, _ := c.Run(0, "read", "--wait", "0s", "-o", "jsonl"); out != "" {
		t.Error("a paused queue gave", out)
	}
	c.Want(0, "resumed", "queue", "resume")
	c.Want(shell.ExitUsage, "would remove 1 waiting and 1 delayed; 0 stay", "queue", "purge")
	c.Want(0, "removed 1 waiting and 1 delayed; 0 stay", "queue", "purge", "--yes")
	c.Want(0, "cancelled", "job", "show", "a")

	// A job of two parts, processed by a worker.
	w := argustest.StartWorker(t, c.Addr, "--", argustest.Script(t, `[ "$ARGUS_PART" = trivy ] && echo ok`))
	c.Want(0, "", "state", "init", "parts", "--part", "trivy", "--part", "clamav")
	c.Run(0, "publish", "--job-id", "parts", "--part", "trivy")
	c.Run(0, "publish", "--job-id", "parts", "--part", "clamav")
	c.Want(shell.ExitJobPartial, "the job parts is partial", "await", "parts")
	out, _ = c.Run(0, "state", "get", "parts")
	if !strings.Contains(out, "trivy_status   completed") || !strings.Contains(out, "clamav_status  failed") {
		t.Error(out, w.Stderr.String())
	}
}
