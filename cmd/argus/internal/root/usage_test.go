package root_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"nope"}, {"serve", "--nope"}, {"serve", "extra"}, {"version", "extra"}, {"serve", "--redis-db", "x"},
		{"dev", "--log-level", "loud"}, {"dev", "--log-format", "xml"}, {"dev", "--grpc-addr", "nowhere"}} {
		var stdout, stderr bytes.Buffer
		if code := argustest.Run(redistest.Context(t), args, argustest.NoEnv, &stdout, &stderr); code != shell.ExitUsage || !strings.HasPrefix(stderr.String(), "argus") || stdout.Len() != 0 {
			t.Errorf("argus %s: exit %d: %s", strings.Join(args, " "), code, &stderr)
		}
	}
	for _, args := range [][]string{nil, {"--help"}, {"serve", "--help"}, {"dev", "--help"}, {"version"}} {
		var stdout, stderr bytes.Buffer
		if code := argustest.Run(redistest.Context(t), args, argustest.NoEnv, &stdout, &stderr); code != shell.ExitOK || stdout.Len() == 0 || stderr.Len() != 0 {
			t.Errorf("argus %s: exit %d: %s", strings.Join(args, " "), code, &stderr)
		}
	}
}

// A wrong command line is answered with the right one.
func TestUsageErrorsHelp(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"publish":                         "argus publish: want a task: name its job with --job-id, say what to do with --scanner",
		"publish --queue nightly --wait":  "argus publish: want a task: ",
		"publish --addr localhost:1":      "argus publish: want a task: ",
		"publish myjob":                   `argus publish: it takes no arguments, got "myjob"; write argus publish --job-id myjob`,
		"job ls waiting":                  "write argus job ls --state waiting",
		"queue ls nightly":                "write argus queue describe nightly",
		"dead ls nightly":                 "write argus dead ls --queue nightly",
		"state ls demo":                   "write argus state get demo",
		"serve argus.yaml":                "write argus serve --config argus.yaml",
		"demo x":                          `argus demo: it takes no arguments, got "x"`,
		"serve --redis-db x":              `argus serve: --redis-db: "x" is not an integer`,
		"serve --lease x":                 `argus serve: --lease: "x" is not a duration, such as 30s or 5m`,
		"serve --http-pprof=x":            `argus serve: --http-pprof: "x" is not true or false`,
		"dev --log-level loud":            `argus dev: --log-level: "loud" is not one of debug, info, warn, error`,
		"state ls -o xml":                 `argus state ls: --output: "xml" is not one of table, json, jsonl`,
		"publish --attribute x":           `argus publish: --attribute: "x" is not name=value`,
		"publish --job-id a --run-at now": `argus publish: --run-at: "now" is not a time`,
		"complete t --status done":        `argus complete: --status: "done" is not one of`,
	} {
		var stdout, stderr bytes.Buffer
		code := argustest.Run(redistest.Context(t), strings.Fields(line), argustest.NoEnv, &stdout, &stderr)
		if text := stderr.String(); code != shell.ExitUsage || !strings.Contains(text, want) || strings.Count(text, "\n") != 1 {
			t.Errorf("argus %s: exit %d, %s, want %q", line, code, text, want)
		}
	}
}

func TestHelpShowsBooleansAsBooleans(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"publish", "--help"}, {"completion", "bash", "--help"}} {
		var stdout, stderr bytes.Buffer
		argustest.Run(redistest.Context(t), args, argustest.NoEnv, &stdout, &stderr)
		if text := stdout.String(); strings.Contains(text, "[=true|false]") || !regexp.MustCompile(`-h, --help +help for`).MatchString(text) {
			t.Error(text)
		}
	}
	var stdout, stderr bytes.Buffer
	argustest.Run(redistest.Context(t), []string{"config", "print", "--redis-enabled=false", "--http-pprof"}, argustest.NoEnv, &stdout, &stderr)
	for _, want := range []string{"enabled: false\n", "http_pprof: true\n", "pool_size: 10\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("config print lacks %q:\n%s", want, &stdout)
		}
	}
}
