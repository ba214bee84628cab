package cli_test

import (
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestGroupCommands(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t, "--groups", "first,second")
	c.Run(0, "publish", "--queue", "q", "--job-id", "job")
	if _, stderr := c.Run(shell.ExitNotFound, "read", "--queue", "q", "--group", "typo", "--consumer", "w"); !strings.Contains(stderr, `group "typo" of queue "q"`) {
		t.Error(stderr)
	}
	if out, _ := c.Run(0, "group", "create", "archive", "--queue", "q"); out != "created\n" {
		t.Error(out)
	}
	c.Run(0, "read", "--queue", "q", "--group", "first", "--consumer", "w")
	out, _ := c.Run(0, "group", "ls", "q")
	for _, name := range []string{"archive", "argus-workers", "first", "second"} {
		if !strings.Contains(out, "\n"+name+" ") {
			t.Errorf("it lacks %s:\n%s", name, out)
		}
	}
	if described, _ := c.Run(0, "queue", "describe", "q"); !strings.Contains(described, "\nsecond ") || !strings.Contains(described, "never\n") {
		t.Error(described)
	}
	c.Run(0, "group", "rm", "archive", "--queue", "q")
	c.Run(shell.ExitUsage, "group", "rm", "first", "--queue", "q")
}
