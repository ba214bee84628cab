package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-redisstream/pkg/redisstream"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/hibiken/asynq"
	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

const (
	asynqName     = "asynq"
	watermillName = "watermill, redisstream"
	natsAsync     = "JetStream, async publish, files"
	natsSync      = "JetStream, sync publish, files"
)

// others do less: they have no state and no completion event.
func (b *bench) others() []*contender {
	return []*contender{
		{name: asynqName, lives: b.asynqLives},
		{name: watermillName, lives: b.watermillLives},
		{name: natsAsync, lives: func(ctx context.Context, n int) (time.Duration, error) { return b.natsLives(ctx, n, true) }, idle: b.natsIdle},
		{name: natsSync, lives: func(ctx context.Context, n int) (time.Duration, error) { return b.natsLives(ctx, n, false) }},
	}
}

// payload is a task in one piece.
func payload(job string) []byte {
	fields := taskFields(job)
	return []byte(`{"` + strings.Join(fields, `","`) + `"}`)
}

// counted is closed when it was counted down.
type counted struct {
	left atomic.Int64
	done chan struct{}
}

func newCounted(n int) *counted {
	c := &counted{done: make(chan struct{})}
	c.left.Store(int64(n))
	return c
}

func (c *counted) count() {
	if c.left.Add(-1) == 0 {
		close(c.done)
	}
}

// wait waits for the count, unless there was an error before.
func (c *counted) wait(err error) error {
	if err == nil {
		<-c.done
	}
	return err
}

// byCallers runs n calls, callers at a time.
func byCallers(n int, call func(caller, i int) error) error {
	var all errgroup.Group
	for c := range callers {
		all.Go(func() error {
			for i := range (n + c) / callers {
				if err := call(c, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return all.Wait()
}

func (b *bench) asynqLives(_ context.Context, n int) (time.Duration, error) {
	redis := asynq.RedisClientOpt{Addr: b.RedisAddr, PoolSize: callers}
	c := newCounted(n)
	server := asynq.NewServer(redis, asynq.Config{Concurrency: callers, LogLevel: asynq.FatalLevel})
	if err := server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		c.count()
		return nil
	})); err != nil {
		return 0, err
	}
	defer server.Shutdown()
	client := asynq.NewClient(redis)
	defer client.Close()
	return timed(func() error {
		err := byCallers(n, func(caller, i int) error {
			_, err := client.Enqueue(asynq.NewTask("scan", payload(jobName(caller, i))))
			return err
		})
		return c.wait(err)
	})
}

func (b *bench) watermillLives(ctx context.Context, n int) (time.Duration, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client := goredis.NewClient(&goredis.Options{Addr: b.RedisAddr, Protocol: 2, PoolSize: callers})
	defer client.Close()
	publisher, err := redisstream.NewPublisher(redisstream.PublisherConfig{Client: client}, watermill.NopLogger{})
	if err != nil {
		return 0, err
	}
	c := newCounted(n)
	for range lanes {
		subscriber, err := redisstream.NewSubscriber(redisstream.SubscriberConfig{Client: client, ConsumerGroup: "g", OldestId: "0"}, watermill.NopLogger{})
		if err != nil {
			return 0, err
		}
		messages, err := subscriber.Subscribe(ctx, "tasks")
		if err != nil {
			return 0, err
		}
		go func() {
			for m := range messages {
				m.Ack()
				c.count()
			}
		}()
	}
	return timed(func() error {
		return c.wait(byCallers(n, func(caller, i int) error {
			return publisher.Publish("tasks", message.NewMessage(watermill.NewUUID(), payload(jobName(caller, i))))
		}))
	})
}

// natsRole is the argument by which this program is a NATS server.
const natsRole = "nats-server"

type natsServer struct {
	process *exec.Cmd
	dir     string
	url     string
}

func startNATS() (*natsServer, error) {
	s := &natsServer{}
	var err error
	if s.dir, err = os.MkdirTemp("", "argus-bench-nats-"); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s.process = exec.Command(self, natsRole, s.dir)
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := s.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	_, err = fmt.Fscanln(out, &s.url)
	return s, err
}

func (s *natsServer) stop() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
	_ = os.RemoveAll(s.dir)
}

func (s *natsServer) cpu() time.Duration { return rig.ProcessCPU(s.process.Process.Pid) }

// serveNATS is a JetStream server that keeps its files in dir.
func serveNATS(dir string) {
	server, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		slog.Error("nats", "error", err)
		os.Exit(1)
	}
	server.Start()
	server.ReadyForConnections(10 * time.Second)
	fmt.Println(server.ClientURL())
	select {}
}

// natsStream makes an empty work queue and a consumer.
func (b *bench) natsStream(ctx context.Context) (jetstream.JetStream, jetstream.Consumer, func(), error) {
	conn, err := nats.Connect(b.nats.url)
	if err != nil {
		return nil, nil, nil, err
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncMaxPending(lanes*batch))
	if err != nil {
		return nil, nil, nil, err
	}
	_ = js.DeleteStream(ctx, "tasks")
	stream, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "tasks", Subjects: []string{"tasks"}, Retention: jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage})
	if err != nil {
		return nil, nil, nil, err
	}
	consumer, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "w", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 4 * lanes * batch})
	return js, consumer, conn.Close, err
}

func (b *bench) natsLives(ctx context.Context, n int, async bool) (time.Duration, error) {
	js, consumer, end, err := b.natsStream(ctx)
	if err != nil {
		return 0, err
	}
	defer end()
	c := newCounted(n)
	consuming, err := consumer.Consume(func(m jetstream.Msg) {
		_ = m.Ack()
		c.count()
	})
	if err != nil {
		return 0, err
	}
	defer consuming.Stop()
	return timed(func() error {
		if !async {
			return c.wait(byCallers(n, func(caller, i int) error {
				_, err := js.Publish(ctx, "tasks", payload(jobName(caller, i)))
				return err
			}))
		}
		return c.wait(inLanes(n, func(lane, n int) error {
			for i := range n {
				if _, err := js.PublishAsync("tasks", payload(jobName(lane, i))); err != nil {
					return err
				}
			}
			return nil
		}))
	})
}

func (b *bench) natsIdle(ctx context.Context, n int) (*rig.Latencies, error) {
	js, consumer, end, err := b.natsStream(ctx)
	if err != nil {
		return nil, err
	}
	defer end()
	messages, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer messages.Stop()
	return oneByOne(n, func(at string) error {
		_, err := js.PublishMsg(ctx, &nats.Msg{Subject: "tasks", Data: payload("job"), Header: nats.Header{"at": {at}}})
		return err
	}, func() (string, error) {
		m, err := messages.Next()
		if err != nil {
			return "", err
		}
		return m.Headers().Get("at"), m.Ack()
	})
}
