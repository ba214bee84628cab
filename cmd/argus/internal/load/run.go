package load

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/server/codec"
)

// run is one run of a benchmark.
type run struct {
	flags
	*client.Client
	conns []*grpc.ClientConn

	mu     sync.Mutex
	meters []*meter
	took   time.Duration
	notes  []string // printed below the table
}

// connect makes the connections that the clients share.
func (r *run) connect() error {
	for range r.connections {
		conn, err := r.Dial(grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec.New())))
		if err != nil {
			return err
		}
		r.conns = append(r.conns, conn)
	}
	return nil
}

func (r *run) close() {
	for _, conn := range r.conns {
		_ = conn.Close()
	}
}

// conn is the connection of a client.
func (r *run) conn(n int) *grpc.ClientConn { return r.conns[n%len(r.conns)] }

// paced calls do for each client again and again, at the rate, until the duration is over. do
// returns how many tasks the call published.
func (r *run) paced(ctx context.Context, do func(ctx context.Context, client int) (int, error)) error {
	start := time.Now()
	ctx, cancel := context.WithDeadline(ctx, start.Add(r.duration))
	defer cancel()
	var all errgroup.Group
	for i := range r.clients {
		all.Go(func() error { return r.pacedClient(ctx, start, i, do) })
	}
	err := all.Wait()
	r.took = time.Since(start)
	return err
}

// pacedClient is the loop of one client. The clients start at evenly spread times.
func (r *run) pacedClient(ctx context.Context, start time.Time, i int, do func(ctx context.Context, client int) (int, error)) error {
	next := start.Add(r.interval(i))
	for {
		if wait := time.Until(next); r.rate > 0 && wait > 0 && !client.Sleep(ctx, wait) {
			return nil
		}
		if time.Since(start) >= r.duration || ctx.Err() != nil {
			return nil
		}
		n, err := do(context.WithoutCancel(ctx), i)
		if err != nil {
			return err
		}
		next = next.Add(r.interval(n * r.clients))
	}
}

// interval is the time that n tasks take at the rate.
func (r *run) interval(n int) time.Duration {
	if r.rate == 0 {
		return 0
	}
	return time.Second * time.Duration(n) / time.Duration(r.rate)
}
