package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"

	goredis "github.com/redis/go-redis/v9"
	"google.golang.org/grpc"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/server/codec"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

// minimal is a gRPC service that does the minimum in front of Redis, as the lower bound of
// latency and cost. An event takes one invalidation, one read and one frame; a task takes XADD
// and XREADGROUP in one round trip, and one frame. It validates nothing, limits nothing, and
// loses what is in transit when a connection breaks.
type minimal struct {
	pool *goredis.Client
	idle chan chan *argusv1.Delivery // workers that wait for a task

	mu      sync.Mutex
	conn    net.Conn // RESP3 with CLIENT TRACKING on
	reads   []string // the keys of the reads in flight, in order
	watches map[string]chan string
}

// minimalLabel marks its rows.
const minimalLabel = ", minimal service"

type minimalCompletion struct {
	argusv1.UnimplementedCompletionServer
	*minimal
}

type minimalQueue struct {
	argusv1.UnimplementedTaskQueueServer
	*minimal
}

// serveMinimal serves until the process is killed.
func serveMinimal(redisAddr, addr string) error {
	conn, err := net.Dial("tcp", redisAddr)
	if err != nil {
		return err
	}
	s := &minimal{conn: conn, watches: make(map[string]chan string), idle: make(chan chan *argusv1.Delivery, maxTasks),
		pool: goredis.NewClient(&goredis.Options{Addr: redisAddr, Protocol: 2, DisableIdentity: true})}
	if err := s.pool.XGroupCreateMkStream(context.Background(), "argus:least", "g", "0").Err(); err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		return err
	}
	if _, err := io.WriteString(conn, "HELLO 3\r\nCLIENT TRACKING ON\r\n"); err != nil {
		return err
	}
	go s.run()
	listener, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(codec.New()), grpc.StaticStreamWindowSize(256<<10), grpc.StaticConnWindowSize(1<<20))
	argusv1.RegisterCompletionServer(server, minimalCompletion{minimal: s})
	argusv1.RegisterTaskQueueServer(server, minimalQueue{minimal: s})
	return server.Serve(listener)
}

// read requests the newest entry of each key; run receives the replies. Redis sends one
// invalidation when a key that was read changes.
func (s *minimal) read(keys ...string) {
	var out strings.Builder
	for _, key := range keys {
		fmt.Fprintf(&out, "XREVRANGE %s + - COUNT 1\r\n", key)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads = append(s.reads, keys...)
	_, _ = io.WriteString(s.conn, out.String())
}

// run receives invalidations and replies from Redis. It reads invalidated keys once no more
// input is buffered.
func (s *minimal) run() {
	in := bufio.NewReader(s.conn)
	var changed []string
	for handshake := 2; ; {
		if len(changed) > 0 && in.Buffered() == 0 {
			s.read(changed...)
			changed = nil
		}
		value, isPush := value(in)
		switch list, _ := value.([]any); {
		case isPush:
			for _, key := range list[1].([]any) {
				changed = append(changed, key.(string))
			}
		case handshake > 0:
			handshake--
		default:
			s.mu.Lock()
			watch := s.watches[s.reads[0]]
			s.reads = s.reads[1:]
			s.mu.Unlock()
			if len(list) > 0 && watch != nil {
				watch <- list[0].([]any)[0].(string)
			}
		}
	}
}

// value parses a RESP3 value; isPush reports a push message.
func value(in *bufio.Reader) (v any, isPush bool) {
	line, err := in.ReadString('\n')
	if err != nil {
		fail(err)
	}
	rest := strings.TrimSuffix(line[1:], "\r\n")
	n, _ := strconv.Atoi(rest)
	switch line[0] {
	case '$':
		text := make([]byte, n+2)
		if _, err := io.ReadFull(in, text); err != nil {
			fail(err)
		}
		return string(text[:n]), false
	case '%':
		n *= 2
	case '*', '>':
	default:
		return rest, false
	}
	list := make([]any, n)
	for i := range list {
		list[i], _ = value(in)
	}
	return list, line[0] == '>'
}

// Watch sends a frame for each new entry of a completion stream.
func (s minimalCompletion) Watch(r *argusv1.WatchRequest, stream grpc.ServerStreamingServer[argusv1.WatchResponse]) error {
	key, events := "argus:argus_completion:"+r.GetJobId(), make(chan string, 100)
	s.mu.Lock()
	s.watches[key] = events
	s.mu.Unlock()
	s.read(key)
	frame := &argusv1.WatchResponse{Frame: &argusv1.WatchResponse_Snapshot{Snapshot: &argusv1.JobSnapshot{}}}
	for {
		if err := stream.Send(frame); err != nil {
			return err
		}
		select {
		case id := <-events:
			frame = &argusv1.WatchResponse{Cursor: id, Frame: &argusv1.WatchResponse_Event{Event: &argusv1.CompletionEvent{JobId: r.GetJobId(), Cursor: id}}}
		case <-stream.Context().Done():
			return nil
		}
	}
}

// Publish adds a task, and reads one on behalf of a waiting worker.
func (s minimalQueue) Publish(ctx context.Context, r *argusv1.PublishRequest) (*argusv1.PublishResponse, error) {
	worker := <-s.idle
	pipe := s.pool.Pipeline()
	added := pipe.XAdd(ctx, &goredis.XAddArgs{Stream: "argus:least", Values: []any{"job_id", r.GetTask().GetJobId(), "report_id", r.GetTask().GetReportId()}})
	read := pipe.XReadGroup(ctx, &goredis.XReadGroupArgs{Group: "g", Consumer: "w", Streams: []string{"argus:least", ">"}, Count: 1, Block: -1})
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	entry := read.Val()[0].Messages[0]
	report, _ := entry.Values["report_id"].(string)
	worker <- &argusv1.Delivery{LeaseToken: entry.ID, Task: &argusv1.Task{JobId: r.GetTask().GetJobId(), ReportId: report}}
	return &argusv1.PublishResponse{MessageId: added.Val()}, nil
}

// Consume sends tasks one at a time; an acknowledgement requests the next.
func (s minimalQueue) Consume(stream grpc.BidiStreamingServer[argusv1.ConsumeRequest, argusv1.ConsumeResponse]) error {
	deliveries := make(chan *argusv1.Delivery, 1)
	go func() {
		for {
			select {
			case d := <-deliveries:
				_ = stream.Send(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_Deliveries{Deliveries: &argusv1.Deliveries{Deliveries: []*argusv1.Delivery{d}}}})
			case <-stream.Context().Done():
				return
			}
		}
	}()
	for {
		r, err := stream.Recv()
		if err != nil {
			return nil
		}
		if id := r.GetAck().GetLeaseTokens(); id != nil {
			s.pool.XAck(stream.Context(), "argus:least", "g", id...)
			s.pool.XDel(stream.Context(), "argus:least", id...)
		}
		s.idle <- deliveries
	}
}

// startMinimal starts the service as a separate process of this program.
func startMinimal(ctx context.Context, r *rig.Rig) *rig.Rig {
	self, err := os.Executable()
	if err != nil {
		fail(err)
	}
	other, err := r.StartServer(ctx, func(addr string) *exec.Cmd {
		p := exec.Command(self, "-least", addr, "-redis", r.RedisAddr)
		p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		p.Stderr = os.Stderr
		return p
	})
	if err != nil {
		fail(err)
	}
	running = append(running, other)
	return other
}
