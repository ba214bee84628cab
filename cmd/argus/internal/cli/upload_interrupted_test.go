package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var requestIDLine = regexp.MustCompile(`\Aargus publish: the request id is (\S+); if this stops early, the same file continues with --request-id (\S+)\n`)

// An interrupt ends a publish that waits for its input.
func TestPublishFileInterrupted(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	p := argustest.Command("publish", "--file", "-")
	p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADDR="+c.Addr)
	p.Cmd.Stdout = p.Cmd.Stderr
	input, err := p.Cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	p.Run(t)
	for range 500 { // one batch
		fmt.Fprintln(input, "{}")
	}
	read := 0
	c.Await("the batch", func() bool {
		out, _ := c.Run(0, "read", "--max", "1000", "--wait", "0s", "-o", "jsonl")
		read += strings.Count(out, "\n")
		return read == 500
	})
	if err := p.Cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = p.Cmd.Wait()
	if code := p.Cmd.ProcessState.ExitCode(); code != shell.ExitInterrupted || !strings.Contains(p.Stderr.String(), "\n500 published\nargus publish: stopped before the end: interrupted; ") {
		t.Errorf("exit %d: %s", code, p.Stderr.String())
	}
	// The request id that it printed continues where it stopped.
	id := ""
	line := requestIDLine.FindStringSubmatch(p.Stderr.String())
	if line != nil {
		id = line[1]
	}
	again := argustest.WriteFile(t, "again.jsonl", strings.Repeat("{}\n", 501))
	if out, _ := c.Run(0, "publish", "--file", again, "--request-id", id); line == nil || out != "1 published, 500 published before\n" {
		t.Errorf("with %q: %s", id, out)
	}
}

// A publish that is killed has printed how to continue; nothing is published twice.
func TestPublishFileKilled(t *testing.T) {
	t.Parallel()
	c := argustest.NewCLI(t)
	p := argustest.Command("publish", "--file", "-")
	p.Cmd.Env = append(p.Cmd.Env, "ARGUS_ADDR="+c.Addr)
	input, err := p.Cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	p.Run(t)
	fmt.Fprint(input, strings.Repeat("{}\n", 500)) // one batch
	c.Await("the batch", func() bool {
		out, _ := c.Run(0, "queue", "ls")
		return strings.Contains(out, "argus_task_queue  500")
	})
	_ = p.Cmd.Process.Kill()
	_ = p.Cmd.Wait()
	id := requestIDLine.FindStringSubmatch(p.Stderr.String())
	if id == nil || id[1] != id[2] {
		t.Fatal(p.Stderr.String())
	}
	again := argustest.WriteFile(t, "again.jsonl", strings.Repeat("{}\n", 501))
	if out, text := c.Run(0, "publish", "--file", again, "--request-id", id[1]); out != "1 published, 500 published before\n" || !requestIDLine.MatchString(text) {
		t.Error(out, text)
	}
}

// lostAnswers is a server that accepts one batch, and does not know the outcome of the next.
type lostAnswers struct {
	argusv1.UnimplementedTaskQueueServer
	batches int
	onBatch func()
}

func (l *lostAnswers) PublishBatch(_ context.Context, r *argusv1.PublishBatchRequest) (*argusv1.PublishBatchResponse, error) {
	l.onBatch()
	if l.batches++; l.batches > 1 {
		return nil, status.Error(codes.Unknown, "the connection to the store broke")
	}
	response := &argusv1.PublishBatchResponse{}
	for range r.GetTasks() {
		response.JobIds, response.MessageIds = append(response.JobIds, "job"), append(response.MessageIds, "1-1")
	}
	return response, nil
}

// serve starts the server, and returns a CLI for it.
func (l *lostAnswers) serve(t *testing.T) *argustest.CLI {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	argusv1.RegisterTaskQueueServer(s, l)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return argustest.NewCLIAt(t, listener.Addr().String())
}

// An interrupt lets the batch in flight finish, so that the summary is right.
func TestPublishFileInterruptedInABatch(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(redistest.Context(t))
	c := (&lostAnswers{onBatch: interrupt}).serve(t)
	var stdout, stderr bytes.Buffer
	code := argustest.Run(ctx, []string{"publish", "--file", argustest.WriteFile(t, "tasks.jsonl", strings.Repeat("{}\n", 500))}, c.Env, &stdout, &stderr)
	if code != shell.ExitInterrupted || stdout.String() != "500 published\n" {
		t.Errorf("exit %d: %s%s", code, &stdout, &stderr)
	}
}

// A summary counts a batch as published only if the server has confirmed it.
func TestPublishFileWithALostAnswer(t *testing.T) {
	t.Parallel()
	c := (&lostAnswers{onBatch: func() {}}).serve(t)
	out, text := c.Run(shell.ExitFailure, "publish", "--file", argustest.WriteFile(t, "tasks.jsonl", strings.Repeat("{}\n", 1200)))
	if out != "500 published, 500 published or not (lines 501 to 1000: the server did not say)\n" || !strings.Contains(text, "the same command continues with --request-id ") {
		t.Error(out, text)
	}
}
