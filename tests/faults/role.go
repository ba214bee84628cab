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

// role is a producer, a worker or a watcher, in a process of its own, which records what it
// did and saw.
type role struct {
	name, servers, dir, canary, producer string
	rate, streams                        int
	seed                                 uint64
	lease                                time.Duration

	log   *history.Log
	conns []*grpc.ClientConn
	next  atomic.Int64 // which server is called
}

// How the roles work.
const (
	producers  = 64 // calls of a producer at a time
	watchEvery = 5  // every how many jobs are watched
	callFor    = 5 * time.Second
	drainFor   = 40 * time.Second
	outOfReach = 50 * time.Millisecond
	// patience is how long a watch waits for a job's result before it is left.
	patience = 30 * time.Second
)

func durationOf(d time.Duration) *durationpb.Duration { return durationpb.New(d) }

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

func (r *role) connect() {
	for addr := range strings.SplitSeq(r.servers, ",") {
		r.conns = append(r.conns, connect(addr))
	}
}

// anew is the same role with connections of its own.
func (r *role) anew() *role {
	other := &role{name: r.name, servers: r.servers, producer: r.producer, log: r.log}
	other.connect()
	other.next.Store(r.next.Load() + 1)
	return other
}

func connect(addr string) *grpc.ClientConn {
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: quickly, MinConnectTimeout: time.Second}))
	if err != nil {
		log.Fatal(err) // an address that this suite made
	}
	return conn
}

// conn is the server that is called now; elsewhere goes on to the next.
func (r *role) conn() *grpc.ClientConn { return r.conns[int(r.next.Load())%len(r.conns)] }

func (r *role) elsewhere() {
	r.next.Add(1)
	time.Sleep(outOfReach)
}

// insist repeats a call that is safe to repeat until it has a definite answer or ctx ends.
func (r *role) insist(ctx context.Context, call func(context.Context, *grpc.ClientConn) error) error {
	for {
		one, cancel := context.WithTimeout(ctx, callFor)
		err := call(one, r.conn())
		cancel()
		switch status.Code(err) {
		case codes.Unavailable, codes.DeadlineExceeded, codes.Unknown, codes.Canceled, codes.ResourceExhausted:
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.elsewhere()
			continue
		}
		return err
	}
}

// earliest is the cursor that a CURSOR_EXPIRED names; false of any other error.
func earliest(err error) (string, bool) {
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
