package root

import (
	"bytes"
	"regexp"
	"runtime/debug"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"--version", "version"} {
		var stdout, stderr bytes.Buffer
		if code := Run(t.Context(), []string{arg}, &shell.Process{Env: noEnv, Stdout: &stdout, Stderr: &stderr}); code != shell.ExitOK || !regexp.MustCompile(`^argus `+client.Release+` \(commit .+\)\n$`).Match(stdout.Bytes()) {
			t.Errorf("argus %s: exit %d, %s%s", arg, code, &stdout, &stderr)
		}
	}
	revision, changed := debug.BuildSetting{Key: "vcs.revision", Value: "abc"}, debug.BuildSetting{Key: "vcs.modified", Value: "true"}
	for want, settings := range map[string][]debug.BuildSetting{
		"commit abc":               {revision},
		"commit abc, with changes": {revision, changed},
		"commit unknown: built without version control": nil,
	} {
		if got := commit(settings); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
