package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var (
	bannerStore    = regexp.MustCompile(`embedded at (\S+)`)
	bannerPassword = regexp.MustCompile(`REDISCLI_AUTH=(\S+) redis-cli -p (\d+)`)
)

// pages are the documents whose console blocks are run, in this order.
var pages = []string{"README.md", "docs/quickstart.md", "docs/operations.md", "docs/existing-workers.md"}

// TestReadme runs the console blocks of the README and other pages, line by line, against `make run` and
// against `argus serve` on a redis-server, and compares what they print. It needs
// make, bash and redis-cli, and builds grpcurl, so it runs only where it is asked for.
// UPDATE=true writes what `argus serve` printed into the pages.
func TestReadme(t *testing.T) {
	if os.Getenv("ARGUS_README_TEST") != "true" {
		t.Skip("the README's walk-through runs with ARGUS_README_TEST=true")
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	tools := t.TempDir()
	for _, args := range [][]string{{"-modfile=tools/go.mod", "-o", tools, "github.com/fullstorydev/grpcurl/cmd/grpcurl"}, {"-o", tools, "./cmd/argus"}} {
		build := exec.Command("go", append([]string{"build"}, args...)...)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", build, err, out)
		}
	}
	t.Run("make run", func(t *testing.T) {
		p := startMake(t, root)
		store, shown := bannerStore.FindStringSubmatch(p.Banner), bannerPassword.FindStringSubmatch(p.Banner)
		if store == nil || shown == nil {
			t.Fatal("no store in the banner:", p.Banner)
		}
		for _, page := range pages {
			walk(t, filepath.Join(root, page), tools, p.Addr, store[1], shown[1])
		}
	})
	t.Run("argus serve", func(t *testing.T) {
		server := redistest.Own(t)
		p := argustest.Start(t, "serve", "--redis-addr", server.Addr)
		for _, page := range pages {
			updated := walk(t, filepath.Join(root, page), tools, p.Addr, server.Addr, "")
			if os.Getenv("UPDATE") == "true" {
				if err := os.WriteFile(filepath.Join(root, page), []byte(updated), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// startMake starts `make run` on a free port.
func startMake(t *testing.T, root string) *argustest.Process {
	t.Helper()
	p := &argustest.Process{Cmd: exec.Command("make", "-s", "run")}
	p.Cmd.Dir, p.Cmd.Stderr = root, &p.Stderr
	p.Cmd.Env = append(os.Environ(), "ARGUS_GRPC_ADDR=localhost:0")
	p.Cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // make, go and argus end together
	p.ReadBanner(t, func() { _ = syscall.Kill(-p.Cmd.Process.Pid, syscall.SIGTERM) })
	return p
}

// walk runs the console blocks of a page in one shell, and returns the page with the
// real output.
func walk(t *testing.T, page, tools, addr, store, password string) string {
	t.Helper()
	content, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	text := string(content)
	_, port, _ := net.SplitHostPort(store)
	auth := ""
	if password != "" {
		auth = "; export REDISCLI_AUTH=" + password
	}
	sh := newBash(t, tools, "export ARGUS_ADDR="+addr+auth+"; redis-cli() { command redis-cli -p "+port+` "$@"; }`)
	var updated strings.Builder
	var want []string // of the last command
	got, inBlock := "", false
	flush := func() {
		if diff := cmp.Diff(steady(strings.Join(want, "\n")), steady(got)); diff != "" && os.Getenv("UPDATE") != "true" {
			t.Errorf("(-README +real):\n%s", diff)
		}
		if got != "" {
			fmt.Fprintln(&updated, got)
		}
		want, got = nil, ""
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case !inBlock:
			inBlock = line == "```console"
			fmt.Fprintln(&updated, line)
		case line == "```":
			flush()
			inBlock = false
			fmt.Fprintln(&updated, line)
		case isCommand:
			flush()
			fmt.Fprintln(&updated, line)
			got = strings.ReplaceAll(sh.run(t, strings.ReplaceAll(command, "localhost:7233", addr)), addr, "localhost:7233")
		default:
			want = append(want, line)
		}
	}
	return updated.String()
}

// What differs from run to run: times, entry ids, tokens, durations.
var unsteady = []struct{ is, as string }{
	{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:[0-9.]+Z?`, "TIME"},
	{`"leaseToken": "[^"]+"`, `"leaseToken": "TOKEN"`},
	{`\b\d{13}-\d+`, "ID"},
	{`\b\d{10}\b`, "SECONDS"},
	{`"\d+(\.\d+)?s"`, `"DURATION"`},
	{`(?m)^60\d{4}$`, "SECONDS LEFT"},
	{`consumer [\w.-]+-\d+\n`, "consumer HOST-PID\n"},
	{`completed in \d+m?s`, "completed in DURATION"},
	{`worker-1\n\d+\n`, "worker-1\nMILLISECONDS\n"},
}

func steady(text string) string {
	for _, u := range unsteady {
		text = regexp.MustCompile(u.is).ReplaceAllString(text, u.as)
	}
	return text
}

// bash is a shell that runs commands one after the other.
type bash struct {
	in  io.Writer
	out *bufio.Scanner
}

const mark = "--end-of-command--"

func newBash(t *testing.T, tools, prelude string) *bash {
	t.Helper()
	cmd := exec.Command("bash", "--norc")
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "PATH="+tools+":"+os.Getenv("PATH"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
	s := &bash{in, bufio.NewScanner(out)}
	s.run(t, prelude)
	return s
}

func (s *bash) run(t *testing.T, command string) string {
	t.Helper()
	if _, err := fmt.Fprintf(s.in, "%s\necho; echo %s\n", command, mark); err != nil {
		t.Fatal(err)
	}
	var lines []string
	for s.out.Scan() {
		if s.out.Text() == mark {
			return strings.Join(lines[:len(lines)-1], "\n")
		}
		lines = append(lines, s.out.Text())
	}
	t.Fatalf("the shell ended: %v\n%s", s.out.Err(), strings.Join(lines, "\n"))
	return ""
}
