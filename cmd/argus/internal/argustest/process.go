// Package argustest runs argus in tests: as command lines in the test's process, and as processes.
package argustest

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/root"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// asArgus makes the test binary behave as argus: a test that needs a process starts its own binary.
const asArgus = "ARGUS_TEST_AS_ARGUS"

// Main is the TestMain of a package that starts processes.
func Main(m *testing.M) {
	MainWith(m, func() {
		ctx, stop := shell.UntilSignal()
		code := root.Main(ctx, os.Args[1:], shell.ThisProcess())
		stop()
		os.Exit(code)
	})
}

// MainWith is Main for the package of the program itself, with its main.
func MainWith(m *testing.M, main func()) {
	if os.Getenv(asArgus) == "true" {
		main()
		return
	}
	os.Exit(redistest.Main(m))
}

// Buffer is a buffer that several goroutines may use.
type Buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

// String returns what is written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// Process is an argus process.
type Process struct {
	Cmd    *exec.Cmd
	Stderr Buffer
	// Banner is what a server prints at its start, and Addr its address.
	Banner string
	Addr   string
}

// Command makes a process that the caller starts.
func Command(args ...string) *Process {
	p := &Process{Cmd: exec.Command(os.Args[0], args...)}
	p.Cmd.Env = append(os.Environ(), asArgus+"=true")
	p.Cmd.Stderr = &p.Stderr
	return p
}

// Start starts a server on a free port. It returns when the server listens.
func Start(t *testing.T, args ...string) *Process {
	t.Helper()
	p := Command(append(args, "--grpc-addr", "localhost:0")...)
	timeout := redistest.Patience.String() // of a store that a busy machine may not run for a while
	p.Cmd.Env = append(p.Cmd.Env, "ARGUS_REDIS_READ_TIMEOUT="+timeout, "ARGUS_REDIS_WRITE_TIMEOUT="+timeout)
	p.ReadBanner(t, func() { _ = p.Cmd.Process.Kill() })
	return p
}

// StartWorker starts argus worker.
func StartWorker(t *testing.T, addr string, args ...string) *Process {
	t.Helper()
	p := Command(append([]string{"worker"}, args...)...)
	p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADDR="+addr)
	p.Run(t)
	return p
}

// Run starts the process, and kills it at the end of the test.
func (p *Process) Run(t *testing.T) {
	t.Helper()
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Cmd.Process.Kill(); _ = p.Cmd.Wait() })
}

var (
	bannerAddr = regexp.MustCompile(`gRPC +(?:on )?(localhost:\d+)`)
	bannerEnd  = regexp.MustCompile(`(?m)^(argus serve|  Try)`)
)

// ReadBanner starts a server and reads its banner. stop ends the server at the end of the test.
func (p *Process) ReadBanner(t *testing.T, stop func()) {
	t.Helper()
	out, err := p.Cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = p.Cmd.Wait() })
	banner := bufio.NewScanner(out)
	for !bannerEnd.MatchString(p.Banner) {
		if !banner.Scan() {
			t.Fatalf("argus ended\n%s%s", p.Banner, &p.Stderr)
		}
		p.Banner += banner.Text() + "\n"
	}
	go func() { _, _ = io.Copy(io.Discard, out) }()
	if addr := bannerAddr.FindStringSubmatch(p.Banner); addr != nil {
		p.Addr = addr[1]
	}
}

// Dial connects to a server.
func (p *Process) Dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// AwaitLog waits until the process has logged a text.
func (p *Process) AwaitLog(t *testing.T, text string) {
	t.Helper()
	ctx := redistest.Context(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(p.Stderr.String(), text) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it does not log %s:\n%s", text, &p.Stderr)
		}
	}
}

// Stop ends the process as a service manager does, and returns what it logged.
func (p *Process) Stop(t *testing.T) string {
	t.Helper()
	if err := p.Cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := p.Cmd.Wait(); err != nil {
		t.Error(err)
	}
	return p.Stderr.String()
}
