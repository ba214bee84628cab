package cli_test

import (
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestStateGetOfAMissingField(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	c.Run(0, "state", "init", "job", "--field", "a=b")
	out, text := c.Run(shell.ExitNotFound, "state", "get", "job", "a", "nosuchfield")
	if !strings.Contains(out, "a  b") || !strings.Contains(text, `the state of the job job has no field "nosuchfield" (FIELD_NOT_FOUND)`) {
		t.Error(out, text)
	}
	c.Run(0, "state", "get", "job", "a")
}
