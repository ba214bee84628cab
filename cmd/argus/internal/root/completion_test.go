package root_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// completions returns what a shell offers for the last of the words.
func completions(c *argustest.CLI, words ...string) []string {
	c.T.Helper()
	out, _ := c.Run(0, append([]string{"__complete"}, words...)...)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return lines[:len(lines)-1] // without the directive
}

func TestShellCompletion(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "publish", "--job-id", "job", "--queue", "nightly")
	queues := []string{"argus_task_queue", "nightly"}
	for line, want := range map[string][]string{
		"queue describe ":           queues,
		"queue purge ":              queues,
		"queue pause nightly ":      {},
		"publish --queue ":          queues,
		"read --queue ":             queues,
		"worker --queue ":           queues,
		"job ls --queue ":           queues,
		"dead ls --queue ":          queues,
		"job ls --state ":           {"recent", "waiting", "leased", "delayed", "dead"},
		"watch job -o ":             {"table", "json", "jsonl"},
		"state ls --output ":        {"table", "json", "jsonl"},
		"complete t --status ":      {"completed", "partial", "failed", "cancelled"},
		"state init --on-conflict ": {"fail", "keep", "replace"},
		"worker --log-format ":      {"text", "json"},
		"serve --log-format ":       {"auto", "text", "json"},
		"serve --log-level ":        {"debug", "info", "warn", "error"},
		"serve --encoding ":         {"fields", "json"},
	} {
		got := completions(c, strings.Split(line, " ")...)
		if !slices.Equal(got, want) {
			t.Errorf("argus %s: %q, want %q", line, got, want)
		}
	}
	// Without a server there are none, and no error that would disturb the line.
	var stdout, stderr bytes.Buffer
	code := argustest.Run(redistest.Context(t), []string{"__complete", "queue", "describe", "--addr", "localhost:1", ""}, argustest.NoEnv, &stdout, &stderr)
	if code != 0 || !strings.HasPrefix(stdout.String(), ":") {
		t.Errorf("exit %d: %s%s", code, &stdout, &stderr)
	}
}
