package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

var saidRequestID = regexp.MustCompile(`\Aargus publish: the request id is (\S+); if this stops early, the same file goes on with --request-id (\S+)\n`)

// A publish that is killed says before that how to go on, and so nothing is published twice.
func TestPublishFileKilled(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	p := &process{cmd: exec.Command(os.Args[0], "publish", "--file", "-")}
	p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_ADDR="+c.addr)
	p.cmd.Stderr = p
	input, err := p.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer input.Close()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(input, strings.Repeat("{}\n", 500)) // one batch
	c.await("the batch", func() bool {
		out, _ := c.run(0, "queue", "ls")
		return strings.Contains(out, "argus_task_queue  500")
	})
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	id := saidRequestID.FindStringSubmatch(p.said())
	if id == nil || id[1] != id[2] {
		t.Fatal(p.said())
	}
	again := writeFile(t, "again.jsonl", strings.Repeat("{}\n", 501))
	if out, text := c.run(0, "publish", "--file", again, "--request-id", id[1]); out != "1 published, 500 published before\n" || !saidRequestID.MatchString(text) {
		t.Error(out, text)
	}
}

// With -o jsonl there is a line for each task, with the id that the server made.
func TestPublishFilePrintsItsTasks(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	file := writeFile(t, "tasks.jsonl", "{}\n\nnonsense\n"+`{"jobId":"mine"}`+"\n{}\n")
	for i := range 2 {
		out, text := c.run(exitError, "publish", "--file", file, "--request-id", "up", "-o", "jsonl")
		var lines []int
		for line := range strings.Lines(out) {
			var task publishedTask
			if err := json.Unmarshal([]byte(line), &task); err != nil || task.JobID == "" || task.MessageID == "" || task.PublishedBefore != (i == 1) {
				t.Error(line, err)
			}
			if (task.JobID == "mine") != (task.Line == 4) {
				t.Error("another line's:", line)
			}
			lines = append(lines, task.Line)
			if i == 1 {
				continue
			}
			if job, _ := c.run(0, "job", "show", task.JobID); !strings.Contains(job, task.MessageID) {
				t.Error(line, job)
			}
		}
		if fmt.Sprint(lines) != "[1 4 5]" {
			t.Error(lines)
		}
		if want := []string{"argus publish: 3 published, 1 refused\n", "argus publish: 0 published, 3 published before, 1 refused\n"}[i]; !strings.Contains(text, want) {
			t.Errorf("%s lacks %q", text, want)
		}
	}
}

// Without a terminal the progress is a line for every 20,000 tasks.
func TestPublishFileSaysHowFarItIs(t *testing.T) {
	t.Parallel()
	c := newCLI(t)
	_, text := c.run(0, "publish", "--file", writeFile(t, "tasks.jsonl", strings.Repeat("{}\n", 25000)))
	if !regexp.MustCompile(`(?m)^argus publish: \d+ published so far \(\d+%\)$`).MatchString(text) {
		t.Error(text)
	}
}

// lostAnswers is a server that takes one batch, and of the next says that it does not know.
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

// serve starts the server, and returns a CLI that uses it.
func (l *lostAnswers) serve(t *testing.T) *cli {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	argusv1.RegisterTaskQueueServer(s, l)
	go func() { _ = s.Serve(listener) }()
	t.Cleanup(s.Stop)
	return &cli{t, redistest.Context(t), listener.Addr().String()}
}

// ^C lets the batch that is on its way arrive, so that the summary is right.
func TestPublishFileInterruptedInABatch(t *testing.T) {
	t.Parallel()
	ctx, interrupt := context.WithCancel(redistest.Context(t))
	c := (&lostAnswers{onBatch: interrupt}).serve(t)
	var stdout, stderr bytes.Buffer
	code := run(ctx, []string{"publish", "--file", writeFile(t, "tasks.jsonl", strings.Repeat("{}\n", 500))}, c.env, &stdout, &stderr, nil)
	if code != exitInterrupted || stdout.String() != "500 published\n" {
		t.Errorf("exit %d: %s%s", code, &stdout, &stderr)
	}
}

// A summary counts a batch as published only if the server said so.
func TestPublishFileWithALostAnswer(t *testing.T) {
	t.Parallel()
	c := (&lostAnswers{onBatch: func() {}}).serve(t)
	out, text := c.run(exitError, "publish", "--file", writeFile(t, "tasks.jsonl", strings.Repeat("{}\n", 1200)))
	if out != "500 published, 500 published or not (lines 501 to 1000: the server did not say)\n" || !strings.Contains(text, "the same command goes on with --request-id ") {
		t.Error(out, text)
	}
}

// On a terminal the progress is a bar, which makes room for what else is said.
func TestProgressBar(t *testing.T) {
	t.Parallel()
	var screen bytes.Buffer
	p := &progress{to: &screen, isTerminal: true, total: 100, read: 50}
	p.show(7)
	p.clear()
	p.clear()
	if want := "\r[" + strings.Repeat("#", 15) + strings.Repeat(" ", 15) + "]  50%  7 published\r\x1b[K"; screen.String() != want {
		t.Errorf("%q, want %q", &screen, want)
	}
	p = newProgress(io.Discard, 0)
	if p.show(1); p.lastDone != 0 {
		t.Error("a line for every task")
	}
}
