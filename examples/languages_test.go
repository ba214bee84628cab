// Package examples_test runs the examples together.
package examples_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestMain(m *testing.M) { os.Exit(redistest.Main(m)) }

// TestLanguages publishes tasks from Python and TypeScript, processes them in Go and Python,
// and watches them in Node, against argus serve on a redis-server. Every job must be
// accounted for. It needs Debian's python3-grpcio, protobuf-compiler,
// protobuf-compiler-grpc and libprotobuf-dev, and Node, so it runs only with ARGUS_EXAMPLES_TEST=true.
func TestLanguages(t *testing.T) {
	if os.Getenv("ARGUS_EXAMPLES_TEST") != "true" {
		t.Skip("the examples in three languages run with ARGUS_EXAMPLES_TEST=true")
	}
	const fromPython, fromNode = 60, 3
	bin := t.TempDir()
	command(t, "", "go", "build", "-o", bin, "../cmd/argus", "./go/worker").output(t)
	store := redistest.Own(t)
	serve := func(addr string) (*program, string) {
		p := command(t, "", filepath.Join(bin, "argus"), "serve", "--grpc-addr", addr, "--redis-addr", store.Addr, "--lease", "3s")
		line, err := bufio.NewReader(p.start(t)).ReadString('\n')
		found := regexp.MustCompile(`localhost:\d+`).FindString(line)
		if err != nil || found == "" {
			t.Fatal("argus serve did not start:", line, err, &p.stderr)
		}
		return p, found
	}
	server, found := serve("localhost:0")
	t.Setenv("ARGUS_ADDR", found)

	jobs := strings.Fields(command(t, "python", "make", "-s", "producer", "ARGS=--addr "+found+" --jobs "+strconv.Itoa(fromPython)+" --scanner trivy --scanner clamav").output(t))
	for range fromNode {
		jobs = append(jobs, strings.Fields(command(t, "node", "make", "-s", "producer", "ARGS=trivy semgrep").output(t))...)
	}
	if len(jobs) != fromPython+fromNode {
		t.Fatal("published:", jobs)
	}

	python := func(seconds string) *program {
		p := command(t, "python", "/usr/bin/python3", "worker.py", "--addr", found, "--seconds", seconds)
		p.cmd.Env = append(os.Environ(), "PYTHONPATH=gen")
		return p
	}
	golang, first := command(t, "", filepath.Join(bin, "worker"), "-addr", found, "-pace", "20ms"), python("0.02")
	said := []io.Reader{golang.start(t), first.start(t)}
	programs := []*program{golang, first}

	// The commands of the documentation that the test has not run as they stand there.
	command(t, "python", "make", "-s", "worker", "ARGS=--help").output(t)
	watcher := command(t, "node", "node", "dist/watcher.js")
	watcher.cmd.Stdin = strings.NewReader(strings.Join(jobs, "\n"))
	results := bufio.NewScanner(watcher.start(t))
	workedIn := make(map[string]int)
	done := make(map[string]bool)
	for results.Scan() {
		var r struct {
			JobID, Status string
			Fields        map[string]string
		}
		if err := json.Unmarshal(results.Bytes(), &r); err != nil || r.Status != "completed" || done[r.JobID] {
			t.Errorf("%s (%v)", results.Text(), err)
		}
		done[r.JobID] = true
		workedIn[r.Fields["worked_in"]]++
		if len(done) == 10 { // one worker stops half-way, and another one starts
			first.signal(t, syscall.SIGTERM)
			second := python("0.02")
			said, programs = append(said, second.start(t)), append(programs, second)
		}
		if len(done) == 25 { // the server is killed and restarted: all programs continue
			server.signal(t, syscall.SIGKILL)
			_ = server.cmd.Wait()
			serve(found)
		}
	}
	if one := command(t, "node", "make", "-s", "watcher", "ARGS="+jobs[0]).output(t); !strings.Contains(one, jobs[0]) {
		t.Error(one)
	}
	for _, job := range jobs {
		if !done[job] {
			t.Error("not accounted for:", job)
		}
	}
	counts := 0
	for i, p := range programs {
		n, _ := p.stop(t, said[i])
		counts += n
	}
	if counts != len(jobs) || workedIn["go"] == 0 || workedIn["python"] == 0 {
		t.Errorf("the workers counted %d of %d; %v", counts, len(jobs), workedIn)
	}
	t.Logf("%d jobs made in Python and %d in TypeScript; %d worked in Go, %d in Python; %d watched in Node; all accounted for",
		fromPython, fromNode, workedIn["go"], workedIn["python"], len(done))
}

// TestPythonLosesItsLease moves the lease of the Python worker's task to another consumer: the
// worker stops at its next heartbeat and writes nothing.
func TestPythonLosesItsLease(t *testing.T) {
	if os.Getenv("ARGUS_EXAMPLES_TEST") != "true" {
		t.Skip("the examples in three languages run with ARGUS_EXAMPLES_TEST=true")
	}
	bin, store, ctx := t.TempDir(), redistest.Own(t), redistest.Context(t)
	command(t, "", "go", "build", "-o", bin, "../cmd/argus").output(t)
	serve := command(t, "", filepath.Join(bin, "argus"), "serve", "--grpc-addr", "localhost:0", "--redis-addr", store.Addr, "--lease", "1s")
	line, _ := bufio.NewReader(serve.start(t)).ReadString('\n')
	addr := regexp.MustCompile(`localhost:\d+`).FindString(line)
	command(t, "python", "make", "-s", "producer", "ARGS=--jobs 1 --addr "+addr).output(t)
	worker := command(t, "python", "make", "-s", "worker", "ARGS=--seconds 100 --addr "+addr)
	worker.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	said := worker.start(t)
	raw := store.Engine().Raw(t)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for raw.XPending(ctx, "argus:argus_task_queue", "argus-workers").Val() == nil || raw.XPending(ctx, "argus:argus_task_queue", "argus-workers").Val().Count == 0 {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("the worker read nothing:", &worker.stderr)
		}
	}
	id := raw.XRange(ctx, "argus:argus_task_queue", "-", "+").Val()[0].ID
	if err := raw.Do(ctx, "XCLAIM", "argus:argus_task_queue", "argus-workers", "thief", 0, id).Err(); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(-worker.cmd.Process.Pid, syscall.SIGTERM) // it finishes what it has: which it lost
	text, _ := io.ReadAll(said)
	if !strings.Contains(string(text), "0 completed, 1 lost") {
		t.Errorf("%q\n%s", text, &worker.stderr)
	}
	if keys := raw.Keys(ctx, "argus:argus_completion:*").Val(); len(keys) != 0 {
		t.Error("it wrote a result:", keys)
	}
}

// TestLanguagesMinimalWorkers runs the shortest workers, whose loops the README shows.
func TestLanguagesMinimalWorkers(t *testing.T) {
	if os.Getenv("ARGUS_EXAMPLES_TEST") != "true" {
		t.Skip("the examples in three languages run with ARGUS_EXAMPLES_TEST=true")
	}
	bin, store := t.TempDir(), redistest.Own(t)
	command(t, "", "go", "build", "-o", bin, "../cmd/argus", "./go/minimal").output(t)
	serve := command(t, "", filepath.Join(bin, "argus"), "serve", "--grpc-addr", "localhost:0", "--redis-addr", store.Addr)
	line, _ := bufio.NewReader(serve.start(t)).ReadString('\n')
	addr := regexp.MustCompile(`localhost:\d+`).FindString(line)
	t.Setenv("ARGUS_ADDR", addr)
	for language, dir := range map[string]string{"go": "", "python": "python", "typescript": "node"} {
		job := strings.TrimSpace(command(t, "node", "make", "-s", "producer").output(t))
		worker := command(t, dir, "make", "-s", "minimal")
		if language == "go" {
			worker = command(t, "", filepath.Join(bin, "minimal"))
		}
		worker.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make and its worker end together
		worker.start(t)
		result := command(t, "node", "make", "-s", "watcher", "ARGS="+job).output(t)
		if !strings.Contains(result, `"worked_in":"`+language+`"`) {
			t.Errorf("%s: %s\n%s", language, result, &worker.stderr)
		}
		_ = syscall.Kill(-worker.cmd.Process.Pid, syscall.SIGKILL)
		_ = worker.cmd.Wait()
	}
}

// program is a process of the test.
type program struct {
	cmd    *exec.Cmd
	stderr strings.Builder
}

func command(t *testing.T, dir, name string, args ...string) *program {
	t.Helper()
	p := &program{cmd: exec.CommandContext(t.Context(), name, args...)}
	p.cmd.Dir, p.cmd.Stderr = dir, &p.stderr
	return p
}

// output runs the program to its end and returns its standard output.
func (p *program) output(t *testing.T) string {
	t.Helper()
	out, err := p.cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.cmd, err, &p.stderr)
	}
	return string(out)
}

// start starts the program and kills it at the end of the test.
func (p *program) start(t *testing.T) io.Reader {
	t.Helper()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sync.OnceFunc(func() { _ = p.cmd.Process.Kill(); _ = p.cmd.Wait() }))
	return out
}

// stop stops a worker gracefully and returns its counts.
func (p *program) stop(t *testing.T, said io.Reader) (completed, lost int) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	text, _ := io.ReadAll(said)
	_, counts, _ := strings.Cut(string(text), ": ")
	if _, err := fmt.Sscanf(counts, "%d completed, %d lost", &completed, &lost); err != nil {
		t.Errorf("%q %v\n%s", text, err, &p.stderr)
	}
	return completed, lost
}

// signal sends a signal to the program; it is not an error if the program has ended.
func (p *program) signal(t *testing.T, s os.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && err != os.ErrProcessDone {
		t.Error(err)
	}
}
