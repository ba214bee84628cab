package cli_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/root"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

func TestWorker(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t, "--max-attempts", "3")
	dir := t.TempDir()
	command := argustest.Script(t, `cat > "`+dir+`/$ARGUS_JOB_ID"
case $ARGUS_JOB_ID in
fail) echo "no such image" >&2; exit 3;;
retry) [ "$ARGUS_ATTEMPT" -ge 2 ] || exit 75;;
hopeless) echo "still not" >&2; exit 75;;
slow) sleep 100;;
esac
echo "$ARGUS_SCANNERS/$ARGUS_ATTEMPT"`)
	w := argustest.StartWorker(t, c.Addr, "--concurrency", "3", "--retry-delay", "1ms", "--", command)
	c.Run(0, "publish", "--job-id", "good", "--scanner", "a", "--scanner", "b")
	c.Run(0, "publish", "--job-id", "slow", "--timeout-seconds", "1")
	for _, job := range []string{"fail", "retry", "hopeless"} {
		c.Run(0, "publish", "--job-id", job)
	}
	for _, want := range []struct {
		job  string
		code int
		say  string
	}{{"good", 0, "a,b/1"}, {"fail", shell.ExitJobFailed, "no such image"}, {"retry", 0, "/2"},
		{"hopeless", shell.ExitJobFailed, "gave up after 3 attempts: still not"}, {"slow", shell.ExitJobFailed, "timed out after 1 seconds"}} {
		if out, _ := c.Run(want.code, "await", want.job); !strings.Contains(out, want.say) {
			t.Errorf("%s: %s, want %q", want.job, out, want.say)
		}
	}
	task, err := os.ReadFile(filepath.Join(dir, "good"))
	if err != nil || !json.Valid(task) || !strings.Contains(string(task), `"jobId":"good"`) {
		t.Errorf("the task on its standard input: %s %v", task, err)
	}
	if err := w.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := w.Cmd.Wait(); err != nil || !strings.Contains(w.Stderr.String(), "2 completed, 3 failed") {
		t.Error(err, &w.Stderr)
	}
}

// A machine on which the command can't be started gives the task back.
func TestWorkerThatCannotStartItsCommand(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	dir := t.TempDir()
	command := argustest.Script(t, `touch "`+dir+`/started-$ARGUS_JOB_ID"; sleep 100 & while [ ! -e "`+dir+`/go" ]; do sleep 0.02; done`)
	w := argustest.StartWorker(t, c.Addr, "--concurrency", "2", "--", command)
	c.Run(0, "publish", "--job-id", "first")
	c.Await("the start of the command", func() bool { return argustest.Exists(dir + "/started-first") })
	if err := os.Rename(command, command+"-gone"); err != nil {
		t.Fatal(err)
	}
	c.Run(0, "publish", "--job-id", "second")
	c.Await("the log line of the worker", func() bool {
		return strings.Contains(w.Stderr.String(), "no such file or directory; finishing what runs")
	})
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_ = w.Cmd.Wait()
	if code := w.Cmd.ProcessState.ExitCode(); code != shell.ExitFailure || !strings.Contains(w.Stderr.String(), "1 completed, 0 failed, 1 retried") {
		t.Error(code, w.Stderr.String())
	}
	if out, _ := c.Run(0, "read", "-o", "jsonl"); !strings.Contains(out, `"jobId":"second"`) || !strings.Contains(out, `"deliveryAttempt":1`) {
		t.Error("the task was not requeued:", out)
	}
}

func TestWorkerDrains(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	dir := t.TempDir()
	command := argustest.Script(t, `touch "`+dir+`/started-$ARGUS_JOB_ID"; while [ ! -e "`+dir+`/go" ]; do sleep 0.02; done`)
	w := argustest.StartWorker(t, c.Addr, "--", command)
	c.Run(0, "publish", "--job-id", "running")
	c.Await("the start of the command", func() bool { return argustest.Exists(dir + "/started-running") })
	if err := w.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	c.Await("the drain", func() bool { return strings.Contains(w.Stderr.String(), "finishing") })
	c.Run(0, "publish", "--job-id", "later")
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := w.Cmd.Wait(); err != nil {
		t.Error(err, &w.Stderr)
	}
	c.Run(0, "await", "running")
	if argustest.Exists(dir + "/started-later") {
		t.Error("a worker that drains took another task")
	}
	// A second signal stops the command and gives its task back.
	_ = os.Remove(dir + "/go")
	w = argustest.StartWorker(t, c.Addr, "--", command)
	c.Await("the start of the command", func() bool { return argustest.Exists(dir + "/started-later") })
	for _, wait := range []string{"finishing", ""} {
		if err := w.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		c.Await("the drain", func() bool { return strings.Contains(w.Stderr.String(), wait) })
	}
	if err := w.Cmd.Wait(); err != nil || !strings.Contains(w.Stderr.String(), "1 retried") {
		t.Error(err, &w.Stderr)
	}
	if out, _ := c.Run(0, "read", "-o", "jsonl"); !strings.Contains(out, `"jobId":"later"`) {
		t.Error("the task was not requeued:", out)
	}
}

// A worker that is killed loses no task, and one that lost its lease stops its command.
func TestWorkersKilled(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	s := argustest.Start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "500ms")
	c := argustest.NewCLIAt(t, s.Addr)
	command := argustest.Script(t, "exit 0")
	var file strings.Builder
	jobs := make([]string, 200)
	for i := range jobs {
		jobs[i] = fmt.Sprint("job-", i)
		fmt.Fprintf(&file, `{"jobId":%q}`+"\n", jobs[i])
	}
	victim := argustest.StartWorker(t, c.Addr, "--concurrency", "4", "--", command)
	argustest.StartWorker(t, c.Addr, "--concurrency", "2", "--", command)
	c.Run(0, "publish", "--file", argustest.WriteFile(t, "tasks.jsonl", file.String()))
	raw := e.Raw(t)
	c.Await("the first result", func() bool { return raw.Exists(c.Ctx, e.Prefix+"argus_completion:job-10").Val() == 1 })
	_ = victim.Cmd.Process.Kill()
	var watches sync.WaitGroup
	for part := range slices.Chunk(jobs, 100) {
		watches.Go(func() { c.Run(0, append([]string{"watch"}, part...)...) })
	}
	watches.Wait()
	for _, job := range jobs {
		if n := raw.XLen(c.Ctx, e.Prefix+"argus_completion:"+job).Val(); n != 1 {
			t.Error(job, "has", n, "results")
		}
	}
}

// A worker's command gets the task, and where the server is, but no secrets.
func TestWorkerKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	dir := t.TempDir()
	secrets := []string{"ARGUS_TOKEN", "ARGUS_TOKEN_FILE", "ARGUS_REDIS_PASSWORD", "ARGUS_REDIS_PASSWORD_FILE", "ARGUS_REDIS_SENTINEL_PASSWORD",
		"ARGUS_TLS_KEY_FILE", "ARGUS_REDIS_TLS_KEY_FILE"}
	for _, name := range root.KnownVariables(root.Command(&shell.Process{Env: argustest.NoEnv, Stdout: io.Discard, Stderr: io.Discard})) {
		isSecret := len(settings.WithoutSecrets([]string{name + "=x"})) == 0
		if isSecret && name != "ARGUS_LEASE_TOKEN" && !slices.Contains(secrets, name) && name != "ARGUS_REDIS_SENTINEL_PASSWORD_FILE" {
			t.Error(name, "is not tried here")
		}
	}
	token := argustest.WriteFile(t, "token", "hunter2")
	p := argustest.Command("worker", "--", "sh", "-c", "env > "+filepath.Join(dir, "env"))
	p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADDR="+c.Addr, "ARGUS_TOKEN_FILE="+token, "OTHER_TOKEN=stays")
	for _, name := range secrets {
		if !strings.HasPrefix(name, "ARGUS_TOKEN") && name != "ARGUS_TLS_KEY_FILE" { // the client's own, which would not start with them
			p.Cmd.Env = append(p.Cmd.Env, name+"=hunter2")
		}
	}
	p.Run(t)
	c.Run(0, "publish", "--job-id", "job")
	c.Run(0, "await", "job")
	text, err := os.ReadFile(filepath.Join(dir, "env"))
	if err != nil {
		t.Fatal(err, p.Stderr.String())
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
		if left := settings.WithoutSecrets([]string{name + "=x"}); len(left) > 0 {
			t.Error(left)
		}
	}
}
