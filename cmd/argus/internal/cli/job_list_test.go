package cli_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestJobList(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	for _, job := range []string{"dead-job", "delayed-job", "leased-job", "done-job", "waiting-1", "waiting-2", "waiting-3"} {
		c.Run(0, "publish", "--job-id", job, "--init")
	}
	c.Run(0, "nack", c.Token("w"), "--dead-letter", "--reason", "no such image")
	c.Run(0, "nack", c.Token("w"), "--delay", "1h", "--reason", "registry is down")
	c.Token("worker-1")
	c.Run(0, "complete", c.Token("w"))
	for state, want := range map[string][]string{
		"waiting": {"JOB", "waiting-1", "waiting-2", "waiting-3"},
		"leased":  {"JOB", "leased-job", "worker-1"},
		"delayed": {"JOB", "delayed-job", "registry is down"},
		"dead":    {"JOB", "dead-job", "rejected", "no such image"},
		"recent":  {"STATUS", "failed     dead-job", "completed  done-job", "pending    waiting-1", "pending    leased-job"},
	} {
		out, _ := c.Run(0, "job", "ls", "--state", state)
		for _, text := range want {
			if !strings.Contains(out, text) {
				t.Errorf("%s lacks %q:\n%s", state, text, out)
			}
		}
		if n := strings.Count(out, "-job") + strings.Count(out, "waiting-"); state == "recent" && n != 7 {
			t.Errorf("%d jobs in\n%s", n, out)
		}
	}
	if recent, _ := c.Run(0, "job", "ls"); !strings.Contains(recent, "done-job") {
		t.Error("without a state:", recent)
	}
	if out, _ := c.Run(0, "job", "ls", "--state", "waiting", "-o", "jsonl"); strings.Count(out, "\n") != 3 || !strings.Contains(out, `"jobId":"waiting-1"`) {
		t.Error(out)
	}
	c.Run(shell.ExitUsage, "job", "ls", "--state", "lost")
	c.Run(shell.ExitUsage, "job", "ls", "--queue", "nightly")
	c.Run(shell.ExitUsage, "job", "ls", "--limit", "-1")
	c.Run(shell.ExitUsage, "job", "ls", "--state", "dead", "--page-token", "x")
	c.Run(shell.ExitNotFound, "job", "ls", "--state", "dead", "--queue", "none")
}

// A list that stops at its limit says how it continues, and what it says is right.
func TestJobListPages(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	for i := range 7 {
		c.Run(0, "publish", "--job-id", fmt.Sprint("job-", i), "--queue", "night shift", "--init")
	}
	args := []string{"job", "ls", "--state", "waiting", "--queue", "night shift", "--limit", "3"}
	var all []string
	for pages := 1; ; pages++ {
		out, said := c.Run(0, append(args, "-o", "jsonl")...)
		for line := range strings.Lines(out) {
			_, job, _ := strings.Cut(line, `"jobId":"`)
			all = append(all, job[:len("job-0")])
		}
		_, token, more := strings.Cut(strings.TrimSpace(said), "argus job ls: there are more; continue with: argus job ls --state waiting --queue 'night shift' --page-token ")
		if !more {
			if pages != 3 || strings.Join(all, " ") != "job-0 job-1 job-2 job-3 job-4 job-5 job-6" {
				t.Errorf("%d pages: %q, %s", pages, all, said)
			}
			break
		}
		args = append(args[:8], "--page-token", token)
	}
	if out, said := c.Run(0, "job", "ls", "--state", "waiting", "--queue", "night shift", "--limit", "0", "-o", "jsonl"); strings.Count(out, "\n") != 7 || said != "" {
		t.Error("all at once:", out, said)
	}
	if out, _ := c.Run(0, "job", "ls", "--limit", "0", "-o", "jsonl"); strings.Count(out, "\n") != 7 {
		t.Error("recent:", out)
	}
}
