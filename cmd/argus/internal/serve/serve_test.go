package serve_test

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/argustest"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A server that is killed loses nothing: another server redelivers the tasks that it had delivered.
func TestServeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	args := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "200ms"}
	first := argustest.Start(t, args...)
	ctx := redistest.Context(t)
	queue := argusv1.NewTaskQueueClient(first.Dial(t))
	const jobs = 200
	tasks := make([]*argusv1.Task, jobs)
	for i := range tasks {
		tasks[i] = &argusv1.Task{}
	}
	published, err := queue.PublishBatch(ctx, &argusv1.PublishBatchRequest{Tasks: tasks})
	if err != nil {
		t.Fatal(err)
	}
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() { // they take tasks and never settle them
			for {
				if _, err := queue.Read(ctx, &argusv1.ReadRequest{Consumer: "lost", MaxTasks: 7}); err != nil {
					return
				}
			}
		})
	}
	raw := e.Raw(t)
	for raw.XPending(ctx, e.Prefix+"argus_task_queue", "argus-workers").Val() == nil {
		if ctx.Err() != nil {
			t.Fatal("nothing was read")
		}
	}
	_ = first.Cmd.Process.Kill()
	readers.Wait()

	second := argustest.Start(t, args...)
	queue = argusv1.NewTaskQueueClient(second.Dial(t))
	done := make(map[string]bool)
	for len(done) < jobs {
		r, err := queue.Read(ctx, &argusv1.ReadRequest{Consumer: "w", MaxTasks: 50})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range r.GetDeliveries() {
			_, err := queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
			if status.Code(err) == codes.FailedPrecondition {
				continue // this test was slower than the lease
			}
			if err != nil || done[d.GetTask().GetJobId()] {
				t.Fatal("completed twice, or not at all:", d, err)
			}
			done[d.GetTask().GetJobId()] = true
		}
	}
	for _, job := range published.GetJobIds() {
		if n := raw.XLen(ctx, e.Prefix+"argus_completion:"+job).Val(); n != 1 {
			t.Error(job, "has", n, "results")
		}
	}
}

func TestServeWithoutRedis(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	_ = listener.Close()
	var stdout, stderr bytes.Buffer
	code := argustest.Run(redistest.Context(t), []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", addr}, argustest.NoEnv, &stdout, &stderr)
	text := stderr.String()
	if code != shell.ExitUnavailable || !strings.Contains(text, "can't use Redis at "+addr) || !strings.Contains(text, "connection refused") || strings.Count(text, "\n") != 1 {
		t.Errorf("exit %d: %s", code, text)
	}
}

// A server over several shards completes tasks; a server with another number of shards, or without
// shards, does not start.
func TestServeShards(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	at := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix}
	p := argustest.Start(t, append(at, "--redis-shards", "3")...)
	for i := range 10 {
		argustest.CompleteOneTask(t, p.Dial(t), "job-"+strconv.Itoa(i))
	}
	for _, shards := range []string{"4", "0"} {
		var stdout, stderr bytes.Buffer
		code := argustest.Run(redistest.Context(t), append(at, "--grpc-addr", "localhost:0", "--redis-shards", shards), argustest.NoEnv, &stdout, &stderr)
		if code != shell.ExitUsage || !strings.Contains(stderr.String(), "--redis-shards: is "+shards+", but this prefix was first used with 3: set it to that") {
			t.Errorf("exit %d: %s", code, &stderr)
		}
	}
}
