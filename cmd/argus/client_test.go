package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// cli runs client commands against one server.
type cli struct {
	t    *testing.T
	ctx  context.Context
	addr string
}

func newCLI(t *testing.T, flags ...string) *cli {
	t.Helper()
	return &cli{t, redistest.Context(t), start(t, append([]string{"dev"}, flags...)...).addr}
}

func (c *cli) env(name string) (string, bool) {
	if name == "ARGUS_ADDR" {
		return c.addr, true
	}
	return "", false
}

// run runs a command and checks its exit code.
func (c *cli) run(code int, args ...string) (stdout, stderr string) {
	c.t.Helper()
	var out, err bytes.Buffer
	if got := run(c.ctx, args, c.env, &out, &err, nil); got != code {
		c.t.Errorf("argus %s: exit %d, want %d\n%s%s", strings.Join(args, " "), got, code, &out, &err)
	}
	return out.String(), err.String()
}

// token reads one task and returns its token.
func (c *cli) token(consumer string) string {
	c.t.Helper()
	out, _ := c.run(0, "read", "--consumer", consumer, "-o", "jsonl")
	var d struct{ LeaseToken string }
	if err := json.Unmarshal([]byte(out), &d); err != nil || d.LeaseToken == "" {
		c.t.Fatal("no task was read:", out, err)
	}
	return d.LeaseToken
}

func TestClientCommands(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	out, _ := c.run(0, "publish", "--job-id", "job", "--scanner", "trivy", "--attribute", "team=red", "--state", "priority=high")
	if !strings.Contains(out, "job") {
		t.Error(out)
	}
	token := c.token("w")
	c.run(0, "extend", token, "--field", "progress=50")
	c.run(0, "state", "set", "job", "progress=60", "status=running", "--lease-token", token)
	c.run(0, "state", "set-json", "job", "summary", `{"high": 1}`)
	out, _ = c.run(0, "state", "get", "job")
	for _, want := range []string{"priority  high", "progress  60", "status    running", `summary   {"high": 1}`} {
		if !strings.Contains(out, want) {
			t.Errorf("state get lacks %q:\n%s", want, out)
		}
	}
	if out, _ = c.run(0, "state", "get", "job", "status", "-o", "jsonl"); !strings.Contains(out, `"fields":{"status":"running"}`) {
		t.Error(out)
	}
	if out, _ = c.run(0, "state", "ls"); !strings.Contains(out, "running    job") {
		t.Error(out)
	}
	c.run(exitTimedOut, "await", "job", "--timeout", "10ms")
	c.run(0, "complete", token, "--status", "partial", "--field", "findings=3")
	c.run(0, "complete", token, "--status", "partial")
	if out, _ = c.run(exitPartial, "watch", "job"); !strings.Contains(out, "findings=3") {
		t.Error(out)
	}
	if out, _ = c.run(exitPartial, "await", "job", "-o", "json"); !strings.Contains(out, `"status": "JOB_STATUS_PARTIAL"`) {
		t.Error(out)
	}
	c.run(0, "state", "rm", "job")
	c.run(exitNotFound, "state", "get", "job")
	c.run(exitNotFound, "state", "rm", "job")

	c.run(0, "publish", "--job-id", "again")
	token = c.token("w")
	c.run(0, "nack", token, "--reason", "later")
	_, errText := c.run(exitError, "nack", token)
	if !strings.Contains(errText, "LEASE_LOST") || strings.Count(errText, "\n") != 1 {
		t.Error(errText)
	}
	token = c.token("w")
	c.run(0, "ack", token)
	if out, _ = c.run(exitUsage, "ack", token, "x"); !strings.Contains(out, "NOT_PENDING") || !strings.Contains(out, "INVALID") {
		t.Error(out)
	}
	for _, status := range []struct {
		word string
		code int
	}{{"completed", 0}, {"failed", exitFailed}, {"cancelled", exitCancelled}} {
		c.run(0, "publish", "--job-id", status.word)
		c.run(0, "complete", c.token("w"), "--status", status.word, "--error", "why")
		c.run(status.code, "await", status.word)
	}
	c.run(exitFailed, "watch", "completed", "failed", "cancelled")
	c.run(0, "state", "init", "new", "--field", "a=b", "--ttl", "1h")
	c.run(exitError, "state", "init", "new")
	c.run(0, "state", "init", "new", "--on-conflict", "keep")
}

func TestClientFaults(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	c.run(0, "publish", "--job-id", "job")
	for _, f := range []struct {
		code int
		say  string
		args []string
	}{
		{exitUsage, "task.job_id", []string{"publish", "--job-id", "a{"}},
		{exitUsage, "not name=value", []string{"publish", "--attribute", "x"}},
		{exitUsage, "run-at", []string{"publish", "--run-at", "tomorrow"}},
		{exitUsage, "file wait", []string{"publish", "--file", "x", "--wait"}},
		{exitUsage, "no such file", []string{"publish", "--file", "nowhere.jsonl"}},
		{exitUsage, "lease token", []string{"complete"}},
		{exitUsage, "status", []string{"complete", "t", "--status", "done"}},
		{exitUsage, "LEASE_TOKEN_INVALID", []string{"complete", "t"}},
		{exitUsage, "output", []string{"state", "ls", "-o", "xml"}},
		{exitUsage, "cursor", []string{"watch", "job", "--after", "x"}},
		{exitUsage, "unknown command", []string{"state", "nope"}},
		{exitUsage, "command", []string{"worker"}},
		{exitUsage, "executable file not found", []string{"worker", "--", "no-such-command"}},
		{exitUsage, "without TLS", []string{"state", "ls", "--addr", "example.com:1", "--token", "x"}},
		{exitUsage, "--tls-ca-file: is given for TLS", []string{"state", "ls", "--tls-ca-file", "x"}},
		{exitUsage, "context.yaml: unknown key adress", []string{"state", "ls", "--context", writeFile(t, "context.yaml", "adress: x")}},
		{exitUnavailable, "can't reach localhost:1 (connection refused)", []string{"publish", "--job-id", "x", "--addr", "localhost:1"}},
		{exitUnavailable, "can't reach localhost:1 (connection refused)", []string{"watch", "job", "--addr", "localhost:1"}},
	} {
		_, text := c.run(f.code, f.args...)
		lines := strings.Split(strings.TrimSpace(text), "\n")
		if last := lines[len(lines)-1]; !strings.HasPrefix(last, "argus") || !strings.Contains(last, f.say) {
			t.Errorf("argus %s: %s", strings.Join(f.args, " "), text)
		}
	}
	interrupted, cancel := context.WithCancel(c.ctx)
	cancel()
	var out, err bytes.Buffer
	if code := run(interrupted, []string{"watch", "job"}, c.env, &out, &err, nil); code != exitInterrupted || !strings.Contains(err.String(), "interrupted") {
		t.Error("^C:", code, &err)
	}
	context := writeFile(t, "context.yaml", "addr: "+c.addr+"\noutput: jsonl\n")
	out.Reset()
	if code := run(c.ctx, []string{"state", "init", "ctx", "--context", context}, noEnv, &out, &err, nil); code != 0 || out.String() != `{"created":true}`+"\n" {
		t.Error("a context file:", code, &out, &err)
	}
}

// TestTokenAndTLS stands for a server that has both: the client's side of them is done.
func TestTokenAndTLS(t *testing.T) {
	t.Parallel()
	ca, key, _ := redistest.Certificate(t)
	transport, err := credentials.NewServerTLSFromFile(ca, key)
	if err != nil {
		t.Fatal(err)
	}
	deny := func(ctx context.Context, _ any, _ *grpc.UnaryServerInfo, _ grpc.UnaryHandler) (any, error) {
		md, _ := metadata.FromIncomingContext(ctx)
		switch strings.Join(md.Get("authorization"), "") {
		case "Bearer right":
			return &argusv1.DeleteResponse{Deleted: true}, nil
		case "":
			return nil, status.Error(codes.Unauthenticated, "no credentials")
		}
		return nil, status.Error(codes.PermissionDenied, "not yours")
	}
	s := grpc.NewServer(grpc.Creds(transport), grpc.UnaryInterceptor(deny))
	argusv1.RegisterJobStateServer(s, argusv1.UnimplementedJobStateServer{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	c := &cli{t, redistest.Context(t), listener.Addr().String()}
	tls := []string{"state", "rm", "job", "--tls", "--tls-ca-file", ca}
	c.run(exitOK, append(tls, "--token", "right")...)
	c.run(exitOK, append(tls, "--token-file", writeFile(t, "token", "right\n"))...)
	for _, args := range [][]string{tls, append(tls, "--token", "wrong")} {
		_, text := c.run(exitDenied, args...)
		if _, text = afterWarnings(text); strings.Count(text, "\n") != 1 {
			t.Error(text)
		}
	}
	c.run(exitUnavailable, "state", "rm", "job", "--tls") // an authority that nobody knows
	c.run(exitUnavailable, "state", "rm", "job")          // no TLS
}

// ^C ends a publish that waits for its input.
func TestPublishFileInterrupted(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	p := &process{cmd: exec.Command(os.Args[0], "publish", "--file", "-")}
	p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADDR="+c.addr)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for range 500 { // one batch
		fmt.Fprintln(input, "{}")
	}
	read := 0
	c.await("the batch", func() bool {
		out, _ := c.run(0, "read", "--max", "1000", "--wait", "0s", "-o", "jsonl")
		read += strings.Count(out, "\n")
		return read == 500
	})
	if err := p.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = p.cmd.Wait()
	if code := p.cmd.ProcessState.ExitCode(); code != exitInterrupted || !strings.Contains(p.said(), "\n500 published\nargus publish: stopped before the end: interrupted; ") {
		t.Errorf("exit %d: %s", code, p.said())
	}
	// What it says goes on where it stopped.
	id := ""
	said := saidRequestID.FindStringSubmatch(p.said())
	if said != nil {
		id = said[1]
	}
	again := writeFile(t, "again.jsonl", strings.Repeat("{}\n", 501))
	if out, _ := c.run(0, "publish", "--file", again, "--request-id", id); said == nil || out != "1 published, 500 published before\n" {
		t.Errorf("with %q: %s", id, out)
	}
}

func TestPublishFile(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	var file strings.Builder
	for i := range 1200 { // several batches
		fmt.Fprintf(&file, `{"jobId":"j-%d","scanners":["trivy"]}`+"\n", i)
	}
	file.WriteString("\nnonsense\n" + `{"jobId":"bad{"}` + "\n" + `{"unknown":1}` + "\n" + `{"jobId":"last"}`)
	path := writeFile(t, "tasks.jsonl", file.String())
	out, text := c.run(exitError, "publish", "--file", path, "--request-id", "upload")
	if out != "1201 published, 3 refused\n" {
		t.Error(out)
	}
	for _, want := range []string{path + ":1202: ", path + ":1203: ", path + ":1204: ", "3 of 1204 lines were refused"} {
		if !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
	jobs := make(map[string]bool)
	for len(jobs) < 1201 {
		out, _ := c.run(0, "read", "--max", "1000", "--wait", "0s", "-o", "jsonl")
		if out == "" {
			break
		}
		for line := range strings.Lines(out) {
			var d struct{ Task struct{ JobID string } }
			if err := json.Unmarshal([]byte(line), &d); err != nil || jobs[d.Task.JobID] {
				t.Fatal(line, err)
			}
			jobs[d.Task.JobID] = true
		}
	}
	if len(jobs) != 1201 || !jobs["last"] || !jobs["j-0"] {
		t.Error(len(jobs), "tasks")
	}
	// Once more under the same id: nothing is published twice.
	out, _ = c.run(exitError, "publish", "--file", path, "--request-id", "upload", "-o", "json")
	if out != `{"published":0,"publishedBefore":1201,"refused":3,"requestId":"upload","unknown":0}`+"\n" {
		t.Error(out)
	}
	// So it is with a file whose refused lines were corrected: that is a conflict.
	corrected := writeFile(t, "corrected.jsonl", strings.ReplaceAll(strings.ReplaceAll(file.String(), "nonsense", "{}"), "bad{", "good"))
	out, text = c.run(exitError, "publish", "--file", corrected, "--request-id", "upload")
	if out != "0 published, 1000 published before, 1 refused\n" || !strings.Contains(text, "lines 1001 to 1500 differ from what was published") {
		t.Error(out, text)
	}
	if out, _ := c.run(0, "read", "--wait", "0s", "-o", "jsonl"); out != "" {
		t.Error("published twice:", out)
	}
	if _, text := c.run(exitUsage, "publish", "--file", corrected, "--queue", "bad{"); strings.Count(text, "\n") != 2 || !strings.Contains(text, "argus publish: queue: must not") {
		t.Error("what is wrong with all lines was not said once:", text)
	}
}

// script writes a shell script.
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "script.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// startWorker starts `argus worker` as a process.
func startWorker(t *testing.T, addr string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append([]string{"worker"}, args...)...)}
	p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADDR="+addr)
	p.cmd.Stderr = p
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() })
	return p
}

func TestWorker(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "--max-attempts", "3")
	dir := t.TempDir()
	command := script(t, `cat > "`+dir+`/$ARGUS_JOB_ID"
case $ARGUS_JOB_ID in
fail) echo "no such image" >&2; exit 3;;
retry) [ "$ARGUS_ATTEMPT" -ge 2 ] || exit 75;;
hopeless) echo "still not" >&2; exit 75;;
slow) sleep 100;;
esac
echo "$ARGUS_SCANNERS/$ARGUS_ATTEMPT"`)
	w := startWorker(t, c.addr, "--concurrency", "3", "--retry-delay", "1ms", "--", command)
	c.run(0, "publish", "--job-id", "good", "--scanner", "a", "--scanner", "b")
	c.run(0, "publish", "--job-id", "slow", "--timeout-seconds", "1")
	for _, job := range []string{"fail", "retry", "hopeless"} {
		c.run(0, "publish", "--job-id", job)
	}
	for _, want := range []struct {
		job  string
		code int
		say  string
	}{{"good", 0, "a,b/1"}, {"fail", exitFailed, "no such image"}, {"retry", 0, "/2"},
		{"hopeless", exitFailed, "gave up after 3 attempts: still not"}, {"slow", exitFailed, "timed out after 1 seconds"}} {
		if out, _ := c.run(want.code, "await", want.job); !strings.Contains(out, want.say) {
			t.Errorf("%s: %s, want %q", want.job, out, want.say)
		}
	}
	task, err := os.ReadFile(filepath.Join(dir, "good"))
	if err != nil || !json.Valid(task) || !strings.Contains(string(task), `"jobId":"good"`) {
		t.Errorf("the task on its standard input: %s %v", task, err)
	}
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil || !strings.Contains(w.stderr.String(), "2 completed, 3 failed") {
		t.Error(err, &w.stderr)
	}
}

// A machine on which the command can't be started gives the task back.
func TestWorkerThatCannotStartItsCommand(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	dir := t.TempDir()
	command := script(t, `touch "`+dir+`/started-$ARGUS_JOB_ID"; sleep 100 & while [ ! -e "`+dir+`/go" ]; do sleep 0.02; done`)
	w := startWorker(t, c.addr, "--concurrency", "2", "--", command)
	c.run(0, "publish", "--job-id", "first")
	c.await("the start of the command", func() bool { return exists(dir + "/started-first") })
	if err := os.Rename(command, command+"-gone"); err != nil {
		t.Fatal(err)
	}
	c.run(0, "publish", "--job-id", "second")
	c.await("the word of the worker", func() bool {
		return strings.Contains(w.said(), "no such file or directory; finishing what runs")
	})
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = w.cmd.Wait()
	if code := w.cmd.ProcessState.ExitCode(); code != exitError || !strings.Contains(w.said(), "1 completed, 0 failed, 1 retried") {
		t.Error(code, w.said())
	}
	if out, _ := c.run(0, "read", "-o", "jsonl"); !strings.Contains(out, `"jobId":"second"`) || !strings.Contains(out, `"deliveryAttempt":1`) {
		t.Error("the task was not given back:", out)
	}
}

func TestClip(t *testing.T) {
	t.Parallel()
	for _, text := range []string{strings.Repeat("\xff", 100), strings.Repeat("é", 100), "short"} {
		if got := clip(text, 33); len(got) > 33 || !utf8.ValidString(got) || got == "" {
			t.Errorf("%q", got)
		}
	}
}

// await polls for what tells nobody that it has happened.
func (c *cli) await(what string, done func() bool) {
	c.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-c.ctx.Done():
			c.t.Fatal(what, "did not happen in time")
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	dir := t.TempDir()
	command := script(t, `touch "`+dir+`/started-$ARGUS_JOB_ID"; while [ ! -e "`+dir+`/go" ]; do sleep 0.02; done`)
	w := startWorker(t, c.addr, "--", command)
	c.run(0, "publish", "--job-id", "running")
	c.await("the start of the command", func() bool { return exists(dir + "/started-running") })
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.await("the drain", func() bool { return strings.Contains(w.said(), "finishing") })
	c.run(0, "publish", "--job-id", "later")
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		t.Error(err, &w.stderr)
	}
	c.run(0, "await", "running")
	if exists(dir + "/started-later") {
		t.Error("a worker that drains took another task")
	}
	// A second signal stops the command and gives its task back.
	_ = os.Remove(dir + "/go")
	w = startWorker(t, c.addr, "--", command)
	c.await("the start of the command", func() bool { return exists(dir + "/started-later") })
	for _, wait := range []string{"finishing", ""} {
		if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.await("the drain", func() bool { return strings.Contains(w.said(), wait) })
	}
	if err := w.cmd.Wait(); err != nil || !strings.Contains(w.stderr.String(), "1 retried") {
		t.Error(err, &w.stderr)
	}
	if out, _ := c.run(0, "read", "-o", "jsonl"); !strings.Contains(out, `"jobId":"later"`) {
		t.Error("the task was not given back:", out)
	}
}

// A worker that is killed loses no task, and one that lost its lease stops its command.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "500ms")
	c := &cli{t, redistest.Context(t), s.addr}
	command := script(t, "exit 0")
	var file strings.Builder
	jobs := make([]string, 200)
	for i := range jobs {
		jobs[i] = fmt.Sprint("job-", i)
		fmt.Fprintf(&file, `{"jobId":%q}`+"\n", jobs[i])
	}
	victim := startWorker(t, c.addr, "--concurrency", "4", "--", command)
	startWorker(t, c.addr, "--concurrency", "2", "--", command)
	c.run(0, "publish", "--file", writeFile(t, "tasks.jsonl", file.String()))
	raw := e.Raw(t)
	c.await("the first result", func() bool { return raw.Exists(c.ctx, e.Prefix+"argus_completion:job-10").Val() == 1 })
	_ = victim.cmd.Process.Kill()
	var watches sync.WaitGroup
	for part := range slices.Chunk(jobs, 100) {
		watches.Go(func() { c.run(0, append([]string{"watch"}, part...)...) })
	}
	watches.Wait()
	for _, job := range jobs {
		if n := raw.XLen(c.ctx, e.Prefix+"argus_completion:"+job).Val(); n != 1 {
			t.Error(job, "has", n, "results")
		}
	}
}

func TestWorkerStopsWhenItsLeaseIsLost(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "1s")
	c := &cli{t, redistest.Context(t), s.addr}
	w := startWorker(t, c.addr, "--", "sleep", "100")
	c.run(0, "publish", "--job-id", "stolen", "--init")
	raw := e.Raw(t)
	c.await("the delivery", func() bool {
		p := raw.XPending(c.ctx, e.Prefix+"argus_task_queue", "argus-workers").Val()
		return p != nil && p.Count == 1
	})
	id := raw.XRange(c.ctx, e.Prefix+"argus_task_queue", "-", "+").Val()[0].ID
	raw.Do(c.ctx, "XCLAIM", e.Prefix+"argus_task_queue", "argus-workers", "thief", 0, id)
	c.await("the end of the command", func() bool {
		return strings.Contains(w.said(), "job stolen: stopped, the lease is lost")
	})
}

func TestWorkerKeepsItsLease(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "400ms")
	c := &cli{t, redistest.Context(t), s.addr}
	command := script(t, `[ "$ARGUS_JOB_ID" = long ] && sleep 1.5 || sleep 100`+"\necho attempt $ARGUS_ATTEMPT")
	w := startWorker(t, c.addr, "--concurrency", "2", "--", command)
	c.run(0, "publish", "--job-id", "long")
	if out, _ := c.run(0, "await", "long"); !strings.Contains(out, "attempt 1") {
		t.Error(out)
	}
	c.run(0, "publish", "--job-id", "cancelled", "--init")
	c.run(0, "state", "set", "cancelled", "status=cancelled")
	c.run(exitCancelled, "await", "cancelled")
	if !strings.Contains(w.said(), "job cancelled: stopped, the job is cancelled") {
		t.Error(w.said())
	}
}

func TestWatchSurvivesAServerRestart(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	args := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix}
	first := start(t, args...)
	c := &cli{t, redistest.Context(t), first.addr}
	c.run(0, "state", "init", "job")
	var out process // as a buffer that two may use
	watched := make(chan int, 1)
	go func() { watched <- run(c.ctx, []string{"watch", "job"}, c.env, &out, &out, nil) }()
	raw := e.Raw(t)
	raw.XAdd(c.ctx, xadd(e.Prefix+"argus_completion:job", "status", "running"))
	c.await("the first event", func() bool { return strings.Contains(out.said(), "running") })
	_ = first.cmd.Process.Kill()
	_ = first.cmd.Wait()
	raw.XAdd(c.ctx, xadd(e.Prefix+"argus_completion:job", "status", "completed"))
	again := exec.Command(os.Args[0], append(args, "--grpc-addr", first.addr)...)
	again.Env = append(os.Environ(), asArgus+"=true")
	if err := again.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = again.Process.Kill(); _ = again.Wait() })
	code, said := <-watched, out.said()
	if code != 0 || strings.Count(said, "running") != 1 || strings.Count(said, "completed") != 1 {
		t.Error(code, said)
	}
}

func TestConfigCommands(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "argus.yaml", "redis: {password: hunter2, db: 3}\nqueues: {q: {lease: 5m}}\n")
	var out, err bytes.Buffer
	if code := run(t.Context(), []string{"config", "print", "--config", file, "--redis-prefix", "x:"}, noEnv, &out, &err, nil); code != 0 {
		t.Fatal(code, &err)
	}
	for _, want := range []string{`prefix: "x:"`, "addr: localhost:6379", "lease: 5m0s", "(set, not shown)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("config print lacks %q:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "hunter2") {
		t.Error("a secret was printed")
	}
	printed := writeFile(t, "printed.yaml", out.String())
	out.Reset()
	if code := run(t.Context(), []string{"config", "validate", printed}, noEnv, &out, &err, nil); code != 0 || !strings.HasSuffix(out.String(), ": ok\n") {
		t.Error("what was printed is not valid:", &out, &err)
	}
	cluster := writeFile(t, "cluster.yaml", "redis: {cluster: true}")
	if code := run(t.Context(), []string{"config", "validate", cluster}, noEnv, &out, &err, nil); code != exitUsage || !strings.Contains(err.String(), cluster+": redis.prefix: Redis Cluster needs") {
		t.Error("what a file lacks is not named as in the file:", &err)
	}
	bad := writeFile(t, "bad.yaml", "lease: long")
	if code := run(t.Context(), []string{"config", "validate", bad}, noEnv, &out, &err, nil); code != exitUsage || !strings.Contains(err.String(), "bad.yaml: lease") {
		t.Error(code, &err)
	}
}

func TestQueueCommands(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	for _, job := range []string{"a", "b", "c"} {
		c.run(0, "publish", "--job-id", job)
	}
	say := func(code int, want string, args ...string) {
		t.Helper()
		out, errs := c.run(code, args...)
		if !strings.Contains(out+errs, want) {
			t.Errorf("argus %s: want %q:\n%s%s", strings.Join(args, " "), want, out, errs)
		}
	}
	token := c.token("w")
	say(0, "put to the dead letters", "nack", token, "--dead-letter", "--reason", "no such image")
	say(exitFailed, "rejected: no such image", "await", "a")
	say(0, "cause", "job", "show", "a")
	say(0, "no such image", "dead", "ls")
	out, _ := c.run(0, "dead", "ls", "-o", "jsonl")
	var letter struct{ ID string }
	if err := json.Unmarshal([]byte(out), &letter); err != nil || letter.ID == "" {
		t.Fatal(out, err)
	}
	say(exitUsage, "want ids of dead letters, or --all", "dead", "redrive")
	say(exitNotFound, "1 of 2 were not there", "dead", "redrive", letter.ID, "1-1")
	say(0, "0 removed", "dead", "rm", "--all")
	token = c.token("w")
	say(0, "given back, due in", "nack", token, "--delay", "1h")
	token = c.token("w")
	say(0, "given back\n", "nack", token, "--release")
	token = c.token("w")
	say(0, "leased in argus_task_queue", "job", "show", "c")
	say(0, "argus_task_queue  1        1       1        0", "queue", "ls")
	say(0, "argus-workers  w         1    0s ago", "queue", "describe")
	say(0, "its worker is asked to stop", "job", "cancel", "c", "--reason", "enough")
	say(0, "cancel requested", "extend", token)
	say(0, "dropped: its job was cancelled", "nack", token)
	say(0, "it had its result already: cancelled", "job", "cancel", "c")
	say(exitNotFound, "JOB_NOT_FOUND", "job", "cancel", "nobody")
	say(exitNotFound, "JOB_NOT_FOUND", "job", "show", "nobody")
	say(exitNotFound, "QUEUE_NOT_FOUND", "queue", "describe", "none")
	say(0, "paused", "queue", "pause")
	if out, _ := c.run(0, "read", "--wait", "0s", "-o", "jsonl"); out != "" {
		t.Error("a paused queue gave", out)
	}
	say(0, "resumed", "queue", "resume")
	say(exitUsage, "would remove 1 waiting and 1 delayed; 0 stay", "queue", "purge")
	say(0, "removed 1 waiting and 1 delayed; 0 stay", "queue", "purge", "--yes")
	say(0, "cancelled", "job", "show", "a")

	// A job of two parts, worked off by a worker.
	w := startWorker(t, c.addr, "--", script(t, `[ "$ARGUS_PART" = trivy ] && echo ok`))
	say(0, "", "state", "init", "parts", "--part", "trivy", "--part", "clamav")
	c.run(0, "publish", "--job-id", "parts", "--part", "trivy")
	c.run(0, "publish", "--job-id", "parts", "--part", "clamav")
	say(exitPartial, "the job parts is partial", "await", "parts")
	out, _ = c.run(0, "state", "get", "parts")
	if !strings.Contains(out, "trivy_status   completed") || !strings.Contains(out, "clamav_status  failed") {
		t.Error(out, w.said())
	}
}

func TestGroupCommands(t *testing.T) {
	t.Parallel()
	c := newCLI(t, "--groups", "first,second")
	c.run(0, "publish", "--queue", "q", "--job-id", "job")
	if _, stderr := c.run(exitNotFound, "read", "--queue", "q", "--group", "typo", "--consumer", "w"); !strings.Contains(stderr, `group "typo" of queue "q"`) {
		t.Error(stderr)
	}
	if out, _ := c.run(0, "group", "create", "archive", "--queue", "q"); out != "created\n" {
		t.Error(out)
	}
	c.run(0, "read", "--queue", "q", "--group", "first", "--consumer", "w")
	out, _ := c.run(0, "group", "ls", "q")
	for _, name := range []string{"archive", "argus-workers", "first", "second"} {
		if !strings.Contains(out, "\n"+name+" ") {
			t.Errorf("it lacks %s:\n%s", name, out)
		}
	}
	if described, _ := c.run(0, "queue", "describe", "q"); !strings.Contains(described, "\nsecond ") || !strings.Contains(described, "never\n") {
		t.Error(described)
	}
	c.run(0, "group", "rm", "archive", "--queue", "q")
	c.run(exitUsage, "group", "rm", "first", "--queue", "q")
}

// What a raw peer wrote does not steer the terminal, nor look like something else.
func TestOutputIsVisible(t *testing.T) {
	t.Parallel()
	if got, want := printable("a\x1b[31m\u202eb\u200bc\U000e0041é"), `a [31m\u202eb\u200bc\udb40\udc41é`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	c := newCLI(t)
	c.run(0, "state", "init", "job")
	c.run(0, "state", "set", "job", "name=a\u202eb")
	for _, output := range []string{"table", "json", "jsonl"} {
		if out, _ := c.run(0, "state", "get", "job", "-o", output); strings.Contains(out, "\u202e") || !strings.Contains(out, `\u202e`) {
			t.Errorf("%s: %q", output, out)
		}
	}
	if _, stderr := c.run(exitUsage, "publish", "--job-id", "a\u202eb"); strings.Contains(stderr, "\u202e") || !strings.Contains(stderr, "U+202E") {
		t.Errorf("%q", stderr)
	}
}
