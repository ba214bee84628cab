package root_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Client and server commands warn; completion for a shell does not.
func TestCommandsWarnOfMisspelledVariables(t *testing.T) {
	t.Parallel()
	stderr := func(args ...string) string {
		p := argustest.Command(args...)
		p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADR=localhost:1")
		_ = p.Cmd.Run()
		return p.Stderr.String()
	}
	for _, args := range [][]string{{"queue", "ls", "--addr", "localhost:1"}, {"config", "print"}, {"serve", "--redis-addr", "localhost:1"}} {
		if text := stderr(args...); !strings.HasPrefix(text, "argus: warning: unknown environment variable ARGUS_ADR") {
			t.Errorf("argus %s: %s", strings.Join(args, " "), text)
		}
	}
	if text := stderr("__complete", "queue", ""); strings.Contains(text, "ARGUS_ADR") {
		t.Error(text)
	}
}

// The list of processes does not show secrets once the program runs.
func TestSecretsInFlagsAreHidden(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	for _, flags := range [][]string{{"--token", "hunter2"}, {"--token=hunter2"}} {
		p := argustest.Command(append([]string{"worker"}, append(flags, "--", "echo", "--token", "stays")...)...)
		p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADDR="+c.Addr)
		p.Run(t)
		c.Await("the connection", func() bool { return strings.Contains(p.Stderr.String(), "connected") })
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.Cmd.Process.Pid), "cmdline"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("this system has no /proc")
		}
		if text := string(line); err != nil || strings.Contains(text, "hunter2") || !strings.Contains(text, "--token") || !strings.Contains(text, "stays") {
			t.Errorf("%q, %v", line, err)
		}
	}
}

// A client prints the warning, a server logs it.
func TestSecretsInFlagsAreWarnedOf(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	argustest.Run(redistest.Context(t), []string{"queue", "ls", "--addr", "localhost:1", "--token", "hunter2"}, argustest.NoEnv, &stdout, &stderr)
	if warnings, _ := argustest.SplitWarnings(stderr.String()); !strings.Contains(warnings, "--token: a secret in a flag") || !strings.Contains(warnings, "--token-file") {
		t.Error("a client:", &stderr)
	}
	stderr.Reset()
	argustest.Run(redistest.Context(t), []string{"serve", "--redis-addr", "localhost:1", "--redis-password", "hunter2"}, argustest.NoEnv, &stdout, &stderr)
	if !strings.Contains(stderr.String(), "--redis-password: a secret in a flag") || strings.Contains(stderr.String(), "hunter2") {
		t.Error("a server:", &stderr)
	}
}
