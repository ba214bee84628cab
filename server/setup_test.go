package server_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

const completed = argusv1.JobStatus_JOB_STATUS_COMPLETED

// bundle is a server with its store and clients.
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

// logs keeps the output of a server's logger.
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

// each runs a test on every engine, and on shards: a single one, so that all keys have one prefix,
// as the tests expect.
func each(t *testing.T, test func(t *testing.T, e redistest.Engine)) {
	redistest.Each(t, test)
	t.Run("shards", func(t *testing.T) {
		t.Parallel()
		test(t, redistest.Sharded(t, 1))
	})
}

func setup(t *testing.T, e redistest.Engine) *bundle {
	t.Helper()
	return setupWith(t, e, job.Settings{})
}

func setupWith(t *testing.T, e redistest.Engine, config job.Settings) *bundle {
	t.Helper()
	return setupServer(t, e, config, func(*server.Config) {})
}

// setupServer is setup with settings of the server.
func setupServer(t *testing.T, e redistest.Engine, config job.Settings, change func(*server.Config)) *bundle {
	t.Helper()
	l := &logs{}
	log := slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	config.Logger = log
	br, closeBroker := openBroker(t, e, config)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	settings := server.Config{Broker: br, Logger: log}
	settings.SetMinHeartbeat(10 * time.Millisecond)
	change(&settings)
	s := server.New(settings)
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	// Without a fixed window gRPC lets it grow beyond what some tests leave unread.
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
			t.Error("the shutdown did not finish within a minute")
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

// setupWithoutTimeouts is setup with a server that has no time-outs except those that change
// sets: on a busy machine a raw client, which answers no pings, would otherwise be disconnected
// for another reason than the one under test.
func setupWithoutTimeouts(t *testing.T, change func(*server.Config)) *bundle {
	t.Helper()
	return setupServer(t, redistest.Embedded(t), job.Settings{}, func(c *server.Config) {
		c.Timeouts().PingAfter, c.Timeouts().PingTimeout = time.Hour, time.Hour
		c.Timeouts().Request = time.Hour
		c.Timeouts().Stall = time.Hour
		c.SendTimeout = time.Hour
		change(c)
	})
}

// openBroker returns a broker on an engine, and a function that closes it.
func openBroker(t *testing.T, e redistest.Engine, config job.Settings) (b server.Broker, closeAll func()) {
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
		shards, err := broker.New(redistest.Context(t), client, config)
		if err != nil {
			t.Fatal(err)
		}
		return shards, func() { shards.Close(); _ = client.Close() }
	}
	one, err := broker.New(context.Background(), client, config)
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
func (b *bundle) publish(t *testing.T, id string) {
	t.Helper()
	if _, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{JobId: id}}); err != nil {
		t.Fatal(err)
	}
}

// readOne reads exactly one task.
func (b *bundle) readOne(t *testing.T) *argusv1.Delivery {
	t.Helper()
	r, err := b.queue.Read(b.ctx, &argusv1.ReadRequest{Consumer: "w"})
	if err != nil || len(r.GetDeliveries()) != 1 {
		t.Fatalf("Read: %v, %v; want one task", r, err)
	}
	return r.GetDeliveries()[0]
}

// must fails the test on an error: must(call())(t) returns the call's result.
func must[T any](result T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
}
