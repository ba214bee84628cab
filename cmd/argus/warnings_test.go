package main

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// afterWarnings parts what a command says into its warnings and the rest.
func afterWarnings(text string) (warnings, rest string) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "argus: warning: ") {
			warnings += line
		} else {
			rest += line
		}
	}
	return warnings, rest
}

// known are the variables that the program knows.
func known() []string {
	return knownVariables((&program{stdout: io.Discard, stderr: io.Discard, env: noEnv}).root())
}

func TestMisspelledVariableIsAWarning(t *testing.T) {
	t.Parallel()
	for variable, say := range map[string]string{
		"ARGUS_ADR=x":           "argus: warning: unknown environment variable ARGUS_ADR: it is ignored; did you mean ARGUS_ADDR?\n",
		"ARGUS_REDIS_ADDRES=x":  "argus: warning: unknown environment variable ARGUS_REDIS_ADDRES: it is ignored; did you mean ARGUS_REDIS_ADDR?\n",
		"ARGUS_XYZXYZ=x":        "argus: warning: unknown environment variable ARGUS_XYZXYZ: it is ignored\n",
		"ARGUS_JOB_ID=x":        "",
		"ARGUS_LEASE_TOKEN=x":   "",
		"ARGUS_README_TEST=x":   "",
		"ARGUS_EXAMPLES_TEST=x": "",
		"ARGUS_REDIS_POOL_SIZE": "",
		"OTHER_ADR=x":           "",
		// Kubernetes makes these for a service called argus.
		"ARGUS_SERVICE_HOST=x": "", "ARGUS_SERVICE_PORT_GRPC=x": "", "ARGUS_PORT=x": "", "ARGUS_PORT_7233_TCP_ADDR=x": "",
	} {
		var text bytes.Buffer
		if warnOfVariables(&text, []string{variable}, known()); text.String() != say {
			t.Errorf("%s: %q, want %q", variable, &text, say)
		}
	}
}

// Client and server commands warn; what a shell reads is not disturbed.
func TestCommandsWarnOfMisspelledVariables(t *testing.T) {
	t.Parallel()
	say := func(args ...string) string {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADR=localhost:1")
		var text bytes.Buffer
		cmd.Stderr = &text
		_ = cmd.Run()
		return text.String()
	}
	for _, args := range [][]string{{"queue", "ls", "--addr", "localhost:1"}, {"config", "print"}, {"serve", "--redis-addr", "localhost:1"}} {
		if text := say(args...); !strings.HasPrefix(text, "argus: warning: unknown environment variable ARGUS_ADR") {
			t.Errorf("argus %s: %s", strings.Join(args, " "), text)
		}
	}
	if text := say("__complete", "queue", ""); strings.Contains(text, "ARGUS_ADR") {
		t.Error(text)
	}
}

func TestSecretsInFlagsAreWarnedOf(t *testing.T) {
	t.Parallel()
	open, closed := writeFile(t, "open", "hunter2"), writeFile(t, "closed", "hunter2")
	if err := os.Chmod(open, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		env  map[string]string
		say  []string
	}{
		"flag":        {args: []string{"--redis-password", "hunter2"}, say: []string{"--redis-password: a secret in a flag can be read in the list of processes and in the shell's history; put it into a file and give --redis-password-file"}},
		"sentinel":    {args: []string{"--redis-sentinel-password", "hunter2"}, say: []string{"--redis-sentinel-password-file"}},
		"environment": {env: map[string]string{"ARGUS_REDIS_PASSWORD": "hunter2"}},
		"closed file": {args: []string{"--redis-password-file", closed}},
		"open file":   {args: []string{"--redis-password-file", open}, say: []string{"--redis-password-file: every user of this machine can read " + open}},
	} {
		config, err := load(t, c.env, c.args...)
		if err != nil || len(config.warnings) != len(c.say) {
			t.Errorf("%s: %q, %v", name, config.warnings, err)
			continue
		}
		for i, say := range c.say {
			if !strings.Contains(config.warnings[i], say) || strings.Contains(config.warnings[i], "hunter2") {
				t.Errorf("%s: %q, want %q", name, config.warnings[i], say)
			}
		}
	}
	var stdout, stderr bytes.Buffer
	run(redistest.Context(t), []string{"queue", "ls", "--addr", "localhost:1", "--token", "hunter2"}, noEnv, &stdout, &stderr, nil)
	if warnings, _ := afterWarnings(stderr.String()); !strings.Contains(warnings, "--token: a secret in a flag") || !strings.Contains(warnings, "--token-file") {
		t.Error("a client:", &stderr)
	}
	stderr.Reset()
	run(redistest.Context(t), []string{"serve", "--redis-addr", "localhost:1", "--redis-password", "hunter2"}, noEnv, &stdout, &stderr, nil)
	if !strings.Contains(stderr.String(), "--redis-password: a secret in a flag") || strings.Contains(stderr.String(), "hunter2") {
		t.Error("a server:", &stderr)
	}
}

// The list of processes does not show secrets, as soon as the program runs.
func TestSecretsInFlagsAreHidden(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	for _, flags := range [][]string{{"--token", "hunter2"}, {"--token=hunter2"}} {
		p := &process{cmd: exec.Command(os.Args[0], append([]string{"worker"}, append(flags, "--", "echo", "--token", "stays")...)...)}
		p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADDR="+c.addr)
		p.cmd.Stderr = p
		if err := p.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
		c.await("the connection", func() bool { return strings.Contains(p.said(), "connected") })
		line, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), "cmdline"))
		if errors.Is(err, fs.ErrNotExist) {
			t.Skip("this system has no /proc")
		}
		if text := string(line); err != nil || strings.Contains(text, "hunter2") || !strings.Contains(text, "--token") || !strings.Contains(text, "stays") {
			t.Errorf("%q, %v", line, err)
		}
	}
}

func TestAddressWithoutPort(t *testing.T) {
	t.Parallel()
	for addr, say := range map[string]string{
		"localhost": `--addr: "localhost" lacks the port; write it as localhost:7233`,
		"host:":     `--addr: "host:" lacks the port; write it as host:7233`,
		"::1":       `--addr: "::1" lacks the port; write it as [::1]:7233`,
		"[::1]":     `--addr: "[::1]" lacks the port; write it as [::1]:7233`,
		"a:b:c":     `--addr: "a:b:c" is not host:port; write it as localhost:7233`,
		"":          `--addr: "" is not host:port; write it as localhost:7233`,
	} {
		var stdout, stderr bytes.Buffer
		code := run(redistest.Context(t), []string{"queue", "ls", "--addr", addr}, noEnv, &stdout, &stderr, nil)
		if code != exitUsage || !strings.HasPrefix(stderr.String(), "argus queue ls: "+say) {
			t.Errorf("%q: exit %d, %s", addr, code, &stderr)
		}
	}
	for _, addr := range []string{"localhost:1", "[::1]:1", ":1", "dns:///host", "unix:///run/argus"} {
		if err := checkAddr("addr", addr, "1"); err != nil {
			t.Error(err)
		}
	}
}

// HTTP beyond this machine is warned of, and profiles are refused there.
func TestHTTPBeyondThisMachine(t *testing.T) {
	t.Parallel()
	var logs bytes.Buffer
	log := slog.New(slog.NewTextHandler(&logs, nil))
	serve := func(addr string, profiles bool) error {
		c := newConfig(pflag.NewFlagSet("argus", pflag.ContinueOnError))
		c.HTTPAddr, c.HTTPPprof = addr, profiles
		stop, err := c.serveHTTP(nil, log)
		if err == nil {
			stop()
		}
		return err
	}
	if err := serve("0.0.0.0:0", true); err == nil || !strings.Contains(err.Error(), "--http-pprof: profiles show what is in memory") {
		t.Error("profiles for other machines:", err)
	}
	if err := serve("localhost:0", true); err != nil || logs.Len() > 0 {
		t.Error("profiles on loopback:", err, &logs)
	}
	if err := serve("0.0.0.0:0", false); err != nil || !strings.Contains(logs.String(), "HTTP beyond this machine without authentication") {
		t.Error("metrics for other machines:", err, &logs)
	}
}

// A worker's command gets the task, and where the server is, but no secrets.
func TestWorkerKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	dir := t.TempDir()
	secrets := []string{"ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "ARGUS_REDIS_PASSWORD", "ARGUS_REDIS_PASSWORD_FILE", "ARGUS_REDIS_SENTINEL_PASSWORD",
		"ARGUS_TLS_KEY_FILE", "ARGUS_REDIS_TLS_KEY_FILE"}
	for _, name := range known() {
		if hasSecret(name) && name != "ARGUS_LEASE_TOKEN" && !slices.Contains(secrets, name) && name != "ARGUS_REDIS_SENTINEL_PASSWORD_FILE" {
			t.Error(name, "is not tried here")
		}
	}
	token := writeFile(t, "token", "hunter2")
	p := &process{cmd: exec.Command(os.Args[0], "worker", "--", "sh", "-c", "env > "+filepath.Join(dir, "env"))}
	p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADDR="+c.addr, "ARGUS_TOKEN_FILE="+token, "OTHER_TOKEN=stays")
	for _, name := range secrets {
		if !strings.HasPrefix(name, "ARGUS_TOKEN") && name != "ARGUS_TLS_KEY_FILE" { // the client's own, which would not start with them
			p.cmd.Env = append(p.cmd.Env, name+"=hunter2")
		}
	}
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	c.run(0, "publish", "--job-id", "job")
	c.run(0, "await", "job")
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err, p.said())
	}
	env := string(text)
	for _, want := range []string{"ARGUS_JOB_ID=job\n", "ARGUS_LEASE_TOKEN=", "ARGUS_ADDR=", "OTHER_TOKEN=stays\n"} {
		if !strings.Contains(env, want) {
			t.Errorf("the command lacks %s", want)
		}
	}
	for _, name := range secrets {
		if strings.Contains(env, name+"=") {
			t.Errorf("the command has %s", name)
		}
		if left := withoutSecrets([]string{name + "=x"}); len(left) > 0 {
			t.Error(left)
		}
	}
}
