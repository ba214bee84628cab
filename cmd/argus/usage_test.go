package main

import (
	"bytes"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"--version", "version"} {
		var stdout, stderr bytes.Buffer
		if code := run(redistest.Context(t), []string{arg}, noEnv, &stdout, &stderr, nil); code != exitOK || !regexp.MustCompile(`^argus `+release+` \(commit .+\)\n$`).Match(stdout.Bytes()) {
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

// What a beginner types is answered with what to type.
func TestUsageErrorsHelp(t *testing.T) {
	t.Parallel()
	for line, say := range map[string]string{
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
		code := run(redistest.Context(t), strings.Fields(line), noEnv, &stdout, &stderr, nil)
		if text := stderr.String(); code != exitUsage || !strings.Contains(text, say) || strings.Count(text, "\n") != 1 {
			t.Errorf("argus %s: exit %d, %s, want %q", line, code, text, say)
		}
	}
}

func TestHelpShowsBooleansAsBooleans(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"publish", "--help"}, {"completion", "bash", "--help"}} {
		var stdout, stderr bytes.Buffer
		run(redistest.Context(t), args, noEnv, &stdout, &stderr, nil)
		if text := stdout.String(); strings.Contains(text, "[=true|false]") || !regexp.MustCompile(`-h, --help +help for`).MatchString(text) {
			t.Error(text)
		}
	}
	var stdout, stderr bytes.Buffer
	run(redistest.Context(t), []string{"config", "print", "--redis-enabled=false", "--http-pprof"}, noEnv, &stdout, &stderr, nil)
	for _, want := range []string{"enabled: false\n", "http_pprof: true\n", "pool_size: 10\n"} {
		if !strings.Contains(stdout.String(), want) {
			t.Errorf("config print lacks %q:\n%s", want, &stdout)
		}
	}
}

// A bad token, and one whose lease is lost, ends every command that takes one in the same way.
func TestBadTokensEndAllCommandsAlike(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.run(0, "publish", "--job-id", "job")
	settled := c.token("w")
	c.run(0, "ack", settled)
	for _, command := range []string{"ack", "nack", "complete", "extend"} {
		for _, token := range []string{"nonsense", settled[:len(settled)-1]} {
			if _, text := c.run(exitUsage, command, token); !strings.Contains(text, "(LEASE_TOKEN_INVALID)") {
				t.Errorf("%s of a bad token: %s", command, text)
			}
		}
		if _, text := c.run(exitError, command, settled); !strings.Contains(text, "(LEASE_LOST)") {
			t.Errorf("%s of a settled task: %s", command, text)
		}
	}
}

func TestStateGetOfAMissingField(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.run(0, "state", "init", "job", "--field", "a=b")
	out, text := c.run(exitNotFound, "state", "get", "job", "a", "nosuchfield")
	if !strings.Contains(out, "a  b") || !strings.Contains(text, `the state of the job job has no field "nosuchfield" (FIELD_NOT_FOUND)`) {
		t.Error(out, text)
	}
	c.run(0, "state", "get", "job", "a")
}

// An id with a space is quoted wherever it is printed as text, and as it is in JSON.
func TestIDsWithSpacesAreQuoted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	say := func(code int, want string, args ...string) {
		t.Helper()
		if out, text := c.run(code, args...); !strings.Contains(out+text, want) {
			t.Errorf("argus %s: want %q:\n%s%s", strings.Join(args, " "), want, out, text)
		}
	}
	say(0, `"my job"  `, "publish", "--job-id", "my job", "--queue", "my queue", "--init")
	say(0, `"my queue"        1`, "queue", "ls")
	say(0, `"my queue"  1`, "queue", "describe", "my queue")
	say(0, `pending    "my job"`, "state", "ls")
	say(0, `pending  "my job"`, "job", "ls")
	say(0, `"my job"  `, "job", "ls", "--state", "waiting", "--queue", "my queue")
	say(0, `waiting in "my queue"`, "job", "show", "my job")
	say(0, "argus queue resume 'my queue'", "queue", "pause", "my queue")
	say(0, "resumed", "queue", "resume", "my queue")
	say(exitNotFound, `the job "no job" (JOB_NOT_FOUND)`, "state", "rm", "no job")
	say(0, `"my job"  1`, "read", "--queue", "my queue", "--consumer", "my worker")
	say(0, `"my worker"`, "queue", "describe", "my queue")
	say(0, `lease      of "my worker" in argus-workers`, "job", "show", "my job")
	say(0, `"jobId":"my job"`, "job", "ls", "--state", "leased", "--queue", "my queue", "-o", "jsonl")
	say(0, "is asked to stop", "job", "cancel", "my job")
}
