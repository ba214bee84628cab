package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"os/exec"
	"syscall"
	"time"

	natsd "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// natsRole is the argument that makes this program a NATS server.
const natsRole = "nats-server"

// natsServer is a JetStream server in a process of its own, so that its processor time is
// measured apart from the client's.
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

// serveNATS runs a JetStream server with its files in dir, and prints its URL when it is ready.
// It does not return.
func serveNATS(dir string) {
	server, err := natsd.NewServer(&natsd.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: dir, NoLog: true, NoSigs: true})
	if err != nil {
		log.Fatalf("start the NATS server: %v", err)
	}
	server.Start()
	server.ReadyForConnections(10 * time.Second)
	fmt.Println(server.ClientURL())
	select {}
}

// natsStream creates an empty work queue and a consumer. The caller calls the returned function
// to close the connection.
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
	c := newCountdown(n)
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
