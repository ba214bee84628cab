package main

import (
	"context"
	"flag"
	"log"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/tests/faults/history"
)

// role is a client in a process of its own, such as a producer, a worker or a watcher. It records
// its calls and what it receives in a history.
type role struct {
	name, servers, dir, canary, producer string
	rate, streams                        int
	seed                                 uint64
	lease                                time.Duration

	log     *history.Log
	conns   []*grpc.ClientConn
	current atomic.Int64 // index of the connection in use
}

const (
	producers     = 64 // concurrent calls of a producer
	watchInterval = 5  // one in so many jobs is watched
	callTimeout   = 5 * time.Second
	drainTimeout  = 40 * time.Second
	retryDelay    = 50 * time.Millisecond
	// watchTimeout is how long a watch waits for a result before it is abandoned.
	watchTimeout = 30 * time.Second
)

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

// runRole runs the role of a kind until SIGTERM.
func runRole(kind string, args []string) {
	r := &role{}
	flags := flag.NewFlagSet(kind, flag.ExitOnError)
	flags.StringVar(&r.name, "name", "", "")
	flags.StringVar(&r.servers, "servers", "", "")
	flags.StringVar(&r.dir, "dir", "", "")
	flags.StringVar(&r.canary, "canary", "", "")
	flags.StringVar(&r.producer, "producer", "job", "")
	flags.IntVar(&r.rate, "rate", 0, "")
	flags.IntVar(&r.streams, "streams", 0, "")
	flags.Uint64Var(&r.seed, "seed", 0, "")
	flags.DurationVar(&r.lease, "lease", 0, "")
	_ = flags.Parse(args)
	var err error
	if r.log, err = history.Open(r.dir, r.name); err != nil {
		log.Fatal(err)
	}
	r.connect()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	map[string]func(context.Context){"producer": r.produce, "worker": r.work, "watcher": r.watch, "hoarder": r.hoard, "crowd": r.crowd}[kind](ctx)
}

// connect opens a connection to each server.
func (r *role) connect() {
	for addr := range strings.SplitSeq(r.servers, ",") {
		r.conns = append(r.conns, connect(addr))
	}
}

// withOwnConns is the same role on new connections.
func (r *role) withOwnConns() *role {
	other := &role{name: r.name, servers: r.servers, producer: r.producer, log: r.log}
	other.connect()
	other.current.Store(r.current.Load() + 1)
	return other
}

// connect opens a connection that reconnects fast.
func connect(addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: fastReconnect, MinConnectTimeout: time.Second}))
	if err != nil {
		log.Fatal(err) // unreachable: the address is valid
	}
	return conn
}

// conn is the connection in use.
func (r *role) conn() *grpc.ClientConn { return r.conns[int(r.current.Load())%len(r.conns)] }

// switchServer switches to the next server, after a short delay.
func (r *role) switchServer() {
	r.current.Add(1)
	time.Sleep(retryDelay)
}

// retry repeats an idempotent call until it has a definite result or ctx ends.
func (r *role) retry(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	for {
		callCtx, cancel := context.WithTimeout(ctx, callTimeout)
		err := call(callCtx, r.conn())
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Canceled, codes.ResourceExhausted:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.switchServer()
			continue
		}
		return err
	}
}

// earliestCursor is the cursor in a CURSOR_EXPIRED error; false for other errors.
func earliestCursor(err error) (string, bool) {
	if status.Code(err) != codes.OutOfRange {
		return "", false
	}
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && info.GetReason() == "CURSOR_EXPIRED" {
			return info.GetMetadata()["earliest_cursor"], true
		}
	}
	return "", false
}
