package client_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestAddressWithoutPort(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"localhost": `--addr: "localhost" lacks the port; write it as localhost:7233`,
		"host:":     `--addr: "host:" lacks the port; write it as host:7233`,
		"::1":       `--addr: "::1" lacks the port; write it as [::1]:7233`,
		"[::1]":     `--addr: "[::1]" lacks the port; write it as [::1]:7233`,
		"a:b:c":     `--addr: "a:b:c" is not host:port; write it as localhost:7233`,
		"":          `--addr: "" is not host:port; write it as localhost:7233`,
	} {
		var stdout, stderr bytes.Buffer
		code := argustest.Run(redistest.Context(t), []string{"queue", "ls", "--addr", addr}, argustest.NoEnv, &stdout, &stderr)
		if code != shell.ExitUsage || !strings.HasPrefix(stderr.String(), "argus queue ls: "+want) {
			t.Errorf("%q: exit %d, %s", addr, code, &stderr)
		}
	}
}
