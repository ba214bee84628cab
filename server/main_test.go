package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

func TestMain(m *testing.M) {
	goredis.SetLogger(silent{}) // tests kill servers; the driver need not tell
	code := redistest.Main(m)
	if code == 0 {
		if err := goleak.Find(); err != nil { // every goroutine has an owner that ended it
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

type silent struct{}

func (silent) Printf(context.Context, string, ...any) {}

// bundle is a server with its clients.
type bundle struct {
	ctx      context.Context
	logs     *logs
	engine   redistest.Engine
	addr     string // of the server
	raw      *goredis.Client
	server   *server.Server
	conn     *grpc.ClientConn
	queue    argusv1.TaskQueueClient
	state    argusv1.JobStateClient
	done     argusv1.CompletionClient
	admin    argusv1.AdminClient
	shutdown func()
}

// logs keeps what a server logs.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// each runs a test on every engine, and on shards: on one, where all keys are under one
// prefix, as the tests expect.
func each(t *testing.T, test func(t *testing.T, e redistest.Engine)) {
	redistest.Each(t, test)
	t.Run("shards", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.Sharded(t, 1))
	})
}

func setup(t *testing.T, e redistest.Engine) *bundle {
	t.Helper()
	return setupWith(t, e, redis.BrokerConfig{})
}

func setupWith(t *testing.T, e redistest.Engine, config redis.BrokerConfig) *bundle {
	t.Helper()
	return setupServer(t, e, config, func(*server.Config) {})
}

// setupServer changes what the server is told.
func setupServer(t *testing.T, e redistest.Engine, config redis.BrokerConfig, change func(*server.Config)) *bundle {
	t.Helper()
	l := &logs{}
	log := slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Logger = log
	broker, closeBroker := openBroker(t, e, config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	told := server.Config{Broker: broker, Logger: log}
	told.SetHeartbeat(10 * time.Millisecond)
	change(&told)
	s := server.New(told)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	// By itself gRPC lets its windows grow, up to what some tests don't read.
	conn, err := grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithStaticStreamWindowSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	b := &bundle{ctx: redistest.Context(t), engine: e, addr: listener.Addr().String(), logs: l, raw: e.Raw(t), server: s, conn: conn,
		queue: argusv1.NewTaskQueueClient(conn), state: argusv1.NewJobStateClient(conn), done: argusv1.NewCompletionClient(conn),
		admin: argusv1.NewAdminClient(conn)}
	b.shutdown = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		s.Shutdown(ctx)
		if ctx.Err() != nil {
			t.Error("shutdown took all its time")
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		closeBroker()
	})
	t.Cleanup(b.shutdown)
	return b
}

// openBroker opens a broker on an engine.
func openBroker(t *testing.T, e redistest.Engine, config redis.BrokerConfig) (broker server.Broker, closeAll func()) {
	t.Helper()
	settings := redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix, ReadTimeout: redistest.Patience, WriteTimeout: redistest.Patience}
	if e.Shards > 0 {
		settings.Prefix, settings.Shards = e.Base, e.Shards
	}
	client, err := redis.NewClient(settings)
	if err != nil {
		t.Fatal(err)
	}
	if e.Shards > 0 {
		shards, err := redis.NewShards(redistest.Context(t), client, config)
		if err != nil {
			t.Fatal(err)
		}
		return shards, func() { shards.Close(); _ = client.Close() }
	}
	one, err := redis.NewBroker(client, config)
	if err != nil {
		t.Fatal(err)
	}
	return one, func() { one.Close(); _ = client.Close() }
}

// awaitLog waits until the server has logged something.
func (b *bundle) awaitLog(t *testing.T, text string) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(b.logs.String(), text) {
		select {
		case <-tick.C:
		case <-b.ctx.Done():
			t.Fatalf("the server did not log %s:\n%s", text, b.logs)
		}
	}
}

func (b *bundle) key(name string) string { return b.engine.Prefix + name }

// publish publishes a task of a job.
func (b *bundle) publish(t *testing.T, job string) {
	t.Helper()
	if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: job}}); err != nil {
		t.Fatal(err)
	}
}

// readOne reads exactly one task.
func (b *bundle) readOne(t *testing.T) *argusv1.Delivery {
	t.Helper()
	r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w"})
	if err != nil || len(r.GetDeliveries()) != 1 {
		t.Fatal(r, err)
	}
	return r.GetDeliveries()[0]
}

// told is what an error tells its caller.
type told struct {
	code      codes.Code
	reason    string
	metadata  map[string]string
	fields    []string
	retryable bool
}

func tell(err error) told {
	s := status.Convert(err)
	w := told{code: s.Code()}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == "argus.v1" {
				w.reason, w.metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				w.fields = append(w.fields, v.GetField())
			}
		case *errdetails.RetryInfo:
			w.retryable = d.GetRetryDelay().AsDuration() > 0
		}
	}
	return w
}

// expect checks an error's code and reason.
func expect(t *testing.T, err error, code codes.Code, reason argusv1.ErrorReason) told {
	t.Helper()
	w := tell(err)
	if want := strings.TrimPrefix(reason.String(), "ERROR_REASON_"); w.code != code || w.reason != want {
		t.Errorf("%v / %q (%v), want %v / %q", w.code, w.reason, err, code, want)
	}
	return w
}
