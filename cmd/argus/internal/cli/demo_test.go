package cli_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	var out, err bytes.Buffer
	if code := argustest.Run(redistest.Context(t), []string{"demo", "--jobs", "12", "--workers", "2", "--pace", "2ms"}, argustest.NoEnv, &out, &err); code != 0 {
		t.Fatal(code, &err)
	}
	text := out.String()
	if strings.Contains(text, "\x1b") {
		t.Error("terminal sequences where there is no terminal")
	}
	if n := len(regexp.MustCompile(`(?m)^ +\S+  scan-\d\d  (completed|failed)`).FindAllString(text, -1)); n != 12 {
		t.Errorf("%d results:\n%s", n, text)
	}
	if !regexp.MustCompile(`\n12 jobs in .* \d+ completed, \d+ failed;`).MatchString(text) {
		t.Error("no summary:", text)
	}
}
