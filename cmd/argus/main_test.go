package main

import (
	"bufio"
	"bytes"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// asArgus makes the test binary behave as the argus binary: tests that need a process
// of its own start themselves.
const asArgus = "ARGUS_TEST_AS_ARGUS"

func TestMain(m *testing.M) {
	if os.Getenv(asArgus) == "true" {
		main()
		return
	}
	os.Exit(redistest.Main(m))
}

// process is an argus process.
type process struct {
	cmd    *exec.Cmd
	addr   string
	banner string
	mu     sync.Mutex
	stderr bytes.Buffer
}

func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

// said is what the process has written so far.
func (p *process) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

var (
	bannerAddr = regexp.MustCompile(`gRPC +(?:on )?(localhost:\d+)`)
	bannerEnd  = regexp.MustCompile(`(?m)^(argus serve|  Try)`)
)

// start starts argus on a free port and returns when it has told its address.
func start(t *testing.T, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(os.Args[0], append(args, "--grpc-addr", "localhost:0")...)}
	patience := redistest.Patience.String() // with a store that a busy machine does not run
	p.cmd.Env = append(os.Environ(), asArgus+"=true", "ARGUS_REDIS_READ_TIMEOUT="+patience, "ARGUS_REDIS_WRITE_TIMEOUT="+patience)
	p.cmd.Stderr = p
	p.run(t, func() { _ = p.cmd.Process.Kill() })
	return p
}

// run runs the process until the test's end.
func (p *process) run(t *testing.T, stop func()) {
	t.Helper()
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(); _ = p.cmd.Wait() })
	banner := bufio.NewScanner(out)
	for !bannerEnd.MatchString(p.banner) {
		if !banner.Scan() {
			t.Fatalf("argus ended\n%s%s", p.banner, &p.stderr)
		}
		p.banner += banner.Text() + "\n"
	}
	go func() {
		for banner.Scan() { // what else it says, until it ends
		}
	}()
	if addr := bannerAddr.FindStringSubmatch(p.banner); addr != nil {
		p.addr = addr[1]
	}
}

func (p *process) dial(t *testing.T) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(p.addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// lives takes a task through its life.
func lives(t *testing.T, conn *grpc.ClientConn, job string) {
	t.Helper()
	ctx := redistest.Context(t)
	queue := argusv1.NewTaskQueueClient(conn)
	if _, err := queue.Publish(ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: job}}, grpc.WaitForReady(true)); err != nil {
		t.Fatal(err)
	}
	r, err := queue.Read(ctx, &argusv1.ReadRequest{Consumer: "w"})
	if err != nil || len(r.GetDeliveries()) != 1 {
		t.Fatal(r, err)
	}
	_, err = queue.Complete(ctx, &argusv1.CompleteRequest{LeaseToken: r.GetDeliveries()[0].GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDev(t *testing.T) {
	t.Parallel()
	p := start(t, "dev")
	lives(t, p.dial(t), "job")
	for _, want := range []string{"argus dev: ", "not for production", "Store      embedded at 127.0.0.1:", "Try        argus publish --job-id demo-1 --scanner trivy --wait --addr " + p.addr} {
		if !strings.Contains(p.banner, want) {
			t.Errorf("the banner lacks %q:\n%s", want, p.banner)
		}
	}
	var stdout, stderr bytes.Buffer
	code := run(redistest.Context(t), []string{"dev", "--grpc-addr", p.addr}, noEnv, &stdout, &stderr, nil)
	if code != exitError || !strings.Contains(stderr.String(), p.addr+" is taken") || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("a second start on the port: exit %d, %s", code, &stderr)
	}
}

func TestServeEndsItsWatchesOnSIGTERM(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	p := start(t, "serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix)
	conn := p.dial(t)
	lives(t, conn, "job")
	watch, err := argusv1.NewCompletionClient(conn).Watch(redistest.Context(t), &argusv1.WatchRequest{JobId: "other"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := watch.Recv(); status.Code(err) != codes.Unavailable {
		t.Error("the watch ended with", err)
	}
	if err := p.cmd.Wait(); err != nil {
		t.Errorf("exit: %v\n%s", err, &p.stderr)
	}
}

// A server that is killed loses nothing: another one redelivers what it had handed out.
func TestServeKilledUnderLoad(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	args := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix, "--lease", "200ms"}
	first := start(t, args...)
	ctx := redistest.Context(t)
	queue := argusv1.NewTaskQueueClient(first.dial(t))
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
	_ = first.cmd.Process.Kill()
	readers.Wait()

	second := start(t, args...)
	queue = argusv1.NewTaskQueueClient(second.dial(t))
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
	code := run(redistest.Context(t), []string{"serve", "--grpc-addr", "localhost:0", "--redis-addr", addr}, noEnv, &stdout, &stderr, nil)
	text := stderr.String()
	if code != exitUnavailable || !strings.Contains(text, "can't use Redis at "+addr) || !strings.Contains(text, "connection refused") || strings.Count(text, "\n") != 1 {
		t.Errorf("exit %d: %s", code, text)
	}
}

func noEnv(string) (string, bool) { return "", false }

// xadd is an entry as a raw peer appends it.
func xadd(stream string, values ...any) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: stream, Values: values}
}

// A server over several shards takes a task through its life; one that was told another
// number of them, or none, does not start.
func TestServeShards(t *testing.T) {
	t.Parallel()
	e := redistest.Shared(t)
	at := []string{"serve", "--redis-addr", e.Addr, "--redis-prefix", e.Prefix}
	p := start(t, append(at, "--redis-shards", "3")...)
	for i := range 10 {
		lives(t, p.dial(t), "job-"+strconv.Itoa(i))
	}
	for _, shards := range []string{"4", "0"} {
		var stdout, stderr bytes.Buffer
		code := run(redistest.Context(t), append(at, "--grpc-addr", "localhost:0", "--redis-shards", shards), noEnv, &stdout, &stderr, nil)
		if code != exitUsage || !strings.Contains(stderr.String(), "--redis-shards: is "+shards+", and this prefix was first used with 3: set it to that") {
			t.Errorf("exit %d: %s", code, &stderr)
		}
	}
}
