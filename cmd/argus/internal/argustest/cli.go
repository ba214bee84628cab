package argustest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/root"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Run runs a command line in this process, and returns its exit code.
func Run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	return root.Run(ctx, args, &shell.Process{Env: env, Stdin: strings.NewReader(""), Stdout: stdout, Stderr: stderr})
}

// NoEnv is an empty environment.
func NoEnv(string) (string, bool) { return "", false }

// CLI runs client commands with one server.
type CLI struct {
	T    *testing.T
	Ctx  context.Context
	Addr string
}

// NewCLI starts argus dev, with flags, for a CLI.
func NewCLI(t *testing.T, flags ...string) *CLI {
	t.Helper()
	return NewCLIAt(t, Start(t, append([]string{"dev"}, flags...)...).Addr)
}

// NewCLIAt makes a CLI for a server at an address.
func NewCLIAt(t *testing.T, addr string) *CLI {
	t.Helper()
	return &CLI{t, redistest.Context(t), addr}
}

// Env is an environment that names the server.
func (c *CLI) Env(name string) (string, bool) {
	if name == "ARGUS_ADDR" {
		return c.Addr, true
	}
	return "", false
}

// Run runs a command and checks its exit code.
func (c *CLI) Run(code int, args ...string) (stdout, stderr string) {
	c.T.Helper()
	var out, err bytes.Buffer
	if got := Run(c.Ctx, args, c.Env, &out, &err); got != code {
		c.T.Errorf("argus %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, &out, &err)
	}
	return out.String(), err.String()
}

// Want runs a command, and checks its exit code and that it prints a text.
func (c *CLI) Want(code int, text string, args ...string) {
	c.T.Helper()
	if stdout, stderr := c.Run(code, args...); !strings.Contains(stdout+stderr, text) {
		c.T.Errorf("argus %s: want %q:\n%s%s", strings.Join(args, " "), text, stdout, stderr)
	}
}

// Token reads one task and returns its lease token.
func (c *CLI) Token(consumer string) string {
	c.T.Helper()
	out, _ := c.Run(0, "read", "--consumer", consumer, "-o", "jsonl")
	var d struct{ LeaseToken string }
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.LeaseToken == "" {
		c.T.Fatal("no task was read:", out, err)
	}
	return d.LeaseToken
}

// Await polls until something has happened of which there is no notification.
func (c *CLI) Await(what string, done func() bool) {
	c.T.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-c.Ctx.Done():
			c.T.Fatal(what, "did not happen in time")
		}
	}
}

// CompleteOneTask publishes a task, reads and completes it.
func CompleteOneTask(t *testing.T, conn *grpc.ClientConn, job string) {
	t.Helper()
	ctx := redistest.Context(t)
	queue := argusv1.NewTaskQueueClient(conn)
	if _, err := queue.Publish(ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: job}}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	r, err := queue.Read(ctx, &argusv1.ReadRequest{Consumer: "w"})
	if err != nil || len(r.GetDeliveries()) != 1 {
		t.Fatal(r, err)
	}
	_, err = queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: r.GetDeliveries()[0].GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
	if err != nil {
		t.Fatal(err)
	}
}

// WriteFile writes a file in a folder of the test, and returns its path.
func WriteFile(t *testing.T, name, text string) string { return write(t, name, text, 0o600) }

// Script writes a shell script.
func Script(t *testing.T, text string) string {
	return write(t, "script.sh", "#!/bin/sh\n"+text, 0o700)
}

func write(t *testing.T, name, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// Exists reports whether there is a file.
func Exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// SplitWarnings separates the warnings that a command prints from the rest.
func SplitWarnings(text string) (warnings, rest string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "argus: warning: ") {
			warnings += line
		} else {
			rest += line
		}
	}
	return warnings, rest
}
