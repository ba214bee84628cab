package cli_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestClientCommands(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	out, _ := c.Run(0, "publish", "--job-id", "job", "--scanner", "trivy", "--attribute", "team=red", "--state", "priority=high")
	if !strings.Contains(out, "job") {
		t.Error(out)
	}
	token := c.Token("w")
	c.Run(0, "extend", token, "--field", "progress=50")
	c.Run(0, "state", "set", "job", "progress=60", "status=running", "--lease-token", token)
	c.Run(0, "state", "set-json", "job", "summary", `{"high": 1}`)
	out, _ = c.Run(0, "state", "get", "job")
	for _, want := range []string{"priority  high", "progress  60", "status    running", `summary   {"high": 1}`} {
		if !strings.Contains(out, want) {
			t.Errorf("state get lacks %q:\n%s", want, out)
		}
	}
	if out, _ = c.Run(0, "state", "get", "job", "status", "-o", "jsonl"); !strings.Contains(out, `"fields":{"status":"running"}`) {
		t.Error(out)
	}
	if out, _ = c.Run(0, "state", "ls"); !strings.Contains(out, "running    job") {
		t.Error(out)
	}
	c.Run(shell.ExitTimedOut, "await", "job", "--timeout", "10ms")
	c.Run(0, "complete", token, "--status", "partial", "--field", "findings=3")
	c.Run(0, "complete", token, "--status", "partial")
	if out, _ = c.Run(shell.ExitJobPartial, "watch", "job"); !strings.Contains(out, "findings=3") {
		t.Error(out)
	}
	if out, _ = c.Run(shell.ExitJobPartial, "await", "job", "-o", "json"); !strings.Contains(out, `"status": "JOB_STATUS_PARTIAL"`) {
		t.Error(out)
	}
	c.Run(0, "state", "rm", "job")
	c.Run(shell.ExitNotFound, "state", "get", "job")
	c.Run(shell.ExitNotFound, "state", "rm", "job")

	c.Run(0, "publish", "--job-id", "again")
	token = c.Token("w")
	c.Run(0, "nack", token, "--reason", "later")
	_, errText := c.Run(shell.ExitFailure, "nack", token)
	if !strings.Contains(errText, "LEASE_LOST") || strings.Count(errText, "\n") != 1 {
		t.Error(errText)
	}
	token = c.Token("w")
	c.Run(0, "ack", token)
	if out, _ = c.Run(shell.ExitUsage, "ack", token, "x"); !strings.Contains(out, "NOT_PENDING") || !strings.Contains(out, "INVALID") {
		t.Error(out)
	}
	for _, status := range []struct {
		word string
		code int
	}{{"completed", 0}, {"failed", shell.ExitJobFailed}, {"cancelled", shell.ExitJobCancelled}} {
		c.Run(0, "publish", "--job-id", status.word)
		c.Run(0, "complete", c.Token("w"), "--status", status.word, "--error", "why")
		c.Run(status.code, "await", status.word)
	}
	c.Run(shell.ExitJobFailed, "watch", "completed", "failed", "cancelled")
	c.Run(0, "state", "init", "new", "--field", "a=b", "--ttl", "1h")
	c.Run(shell.ExitFailure, "state", "init", "new")
	c.Run(0, "state", "init", "new", "--on-conflict", "keep")
}

func TestClientFaults(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "publish", "--job-id", "job")
	for _, f := range []struct {
		code int
		want string
		args []string
	}{
		{shell.ExitUsage, "task.job_id", []string{"publish", "--job-id", "a{"}},
		{shell.ExitUsage, "not name=value", []string{"publish", "--attribute", "x"}},
		{shell.ExitUsage, "run-at", []string{"publish", "--run-at", "tomorrow"}},
		{shell.ExitUsage, "file wait", []string{"publish", "--file", "x", "--wait"}},
		{shell.ExitUsage, "no such file", []string{"publish", "--file", "nowhere.jsonl"}},
		{shell.ExitUsage, "lease token", []string{"complete"}},
		{shell.ExitUsage, "status", []string{"complete", "t", "--status", "done"}},
		{shell.ExitUsage, "LEASE_TOKEN_INVALID", []string{"complete", "t"}},
		{shell.ExitUsage, "output", []string{"state", "ls", "-o", "xml"}},
		{shell.ExitUsage, "cursor", []string{"watch", "job", "--after", "x"}},
		{shell.ExitUsage, "unknown command", []string{"state", "nope"}},
		{shell.ExitUsage, "command", []string{"worker"}},
		{shell.ExitUsage, "executable file not found", []string{"worker", "--", "no-such-command"}},
		{shell.ExitUsage, "without TLS", []string{"state", "ls", "--addr", "example.com:1", "--token", "x"}},
		{shell.ExitUsage, "--tls-ca-file: is given for TLS", []string{"state", "ls", "--tls-ca-file", "x"}},
		{shell.ExitUsage, "context.yaml: unknown key adress", []string{"state", "ls", "--context", argustest.WriteFile(t, "context.yaml", "adress: x")}},
		{shell.ExitUnavailable, "can't reach localhost:1 (connection refused)", []string{"publish", "--job-id", "x", "--addr", "localhost:1"}},
		{shell.ExitUnavailable, "can't reach localhost:1 (connection refused)", []string{"watch", "job", "--addr", "localhost:1"}},
	} {
		_, text := c.Run(f.code, f.args...)
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "argus") || !strings.Contains(last, f.want) {
			t.Errorf("argus %s: %s", strings.Join(f.args, " "), text)
		}
	}
	interrupted, cancel := context.WithCancel(c.Ctx)
	cancel()
	var out, err bytes.Buffer
	if code := argustest.Run(interrupted, []string{"watch", "job"}, c.Env, &out, &err); code != shell.ExitInterrupted || !strings.Contains(err.String(), "interrupted") {
		t.Error("^C:", code, &err)
	}
	context := argustest.WriteFile(t, "context.yaml", "addr: "+c.Addr+"\noutput: jsonl\n")
	out.Reset()
	if code := argustest.Run(c.Ctx, []string{"state", "init", "ctx", "--context", context}, argustest.NoEnv, &out, &err); code != 0 || out.String() != `{"created":true}`+"\n" {
		t.Error("a context file:", code, &out, &err)
	}
}

// All commands that take a lease token end in the same way with a bad token, and with one whose
// lease is lost.
func TestBadTokensEndAllCommandsAlike(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "publish", "--job-id", "job")
	settled := c.Token("w")
	c.Run(0, "ack", settled)
	for _, command := range []string{"ack", "nack", "complete", "extend"} {
		for _, token := range []string{"nonsense", settled[:len(settled)-1]} {
			if _, text := c.Run(shell.ExitUsage, command, token); !strings.Contains(text, "(LEASE_TOKEN_INVALID)") {
				t.Errorf("%s of a bad token: %s", command, text)
			}
		}
		if _, text := c.Run(shell.ExitFailure, command, settled); !strings.Contains(text, "(LEASE_LOST)") {
			t.Errorf("%s of a settled task: %s", command, text)
		}
	}
}

// An id with a space is quoted in text, and unchanged in JSON.
func TestIDsWithSpacesAreQuoted(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Want(0, `"my job"  `, "publish", "--job-id", "my job", "--queue", "my queue", "--init")
	c.Want(0, `"my queue"        1`, "queue", "ls")
	c.Want(0, `"my queue"  1`, "queue", "describe", "my queue")
	c.Want(0, `pending    "my job"`, "state", "ls")
	c.Want(0, `pending  "my job"`, "job", "ls")
	c.Want(0, `"my job"  `, "job", "ls", "--state", "waiting", "--queue", "my queue")
	c.Want(0, `waiting in "my queue"`, "job", "show", "my job")
	c.Want(0, "argus queue resume 'my queue'", "queue", "pause", "my queue")
	c.Want(0, "resumed", "queue", "resume", "my queue")
	c.Want(shell.ExitNotFound, `the job "no job" (JOB_NOT_FOUND)`, "state", "rm", "no job")
	c.Want(0, `"my job"  1`, "read", "--queue", "my queue", "--consumer", "my worker")
	c.Want(0, `"my worker"`, "queue", "describe", "my queue")
	c.Want(0, `lease      of "my worker" in argus-workers`, "job", "show", "my job")
	c.Want(0, `"jobId":"my job"`, "job", "ls", "--state", "leased", "--queue", "my queue", "-o", "jsonl")
	c.Want(0, "is asked to stop", "job", "cancel", "my job")
}

// Text of other programs does not control the terminal, nor look like other text.
func TestOutputIsVisible(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "state", "init", "job")
	c.Run(0, "state", "set", "job", "name=a\u202eb")
	for _, output := range []string{"table", "json", "jsonl"} {
		if out, _ := c.Run(0, "state", "get", "job", "-o", output); strings.Contains(out, "\u202e") || !strings.Contains(out, `\u202e`) {
			t.Errorf("%s: %q", output, out)
		}
	}
	if _, stderr := c.Run(shell.ExitUsage, "publish", "--job-id", "a\u202eb"); strings.Contains(stderr, "\u202e") || !strings.Contains(stderr, "U+202E") {
		t.Errorf("%q", stderr)
	}
}
