// Command waiting measures the cost of waiting clients: watches and idle workers of one server,
// compared with the naive way, one Redis connection per client, in the same run. See
// docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	streams     = flag.String("streams", "1000,10000", "numbers of Watch streams")
	polled      = flag.String("sweep", "100,10000", "numbers of Watch streams on a Redis without CLIENT TRACKING, whose keys the server polls")
	jobs        = flag.String("jobs", "100000", "numbers of jobs on WatchMany streams")
	workers     = flag.Int("workers", 1000, "number of idle workers")
	naive       = flag.Int("naive", 1000, "number of watchers with a Redis connection each")
	rate        = flag.Int("rate", 1000, "completion events per second")
	flood       = flag.Int("flood", 10000, "number of tasks of a loud organization, queued before those of a quiet one")
	quietTasks  = flag.Int("quiet", 500, "number of tasks of the quiet organization")
	rounds      = flag.Int("rounds", 3, "number of rounds; the tables show the median, with the minimum and the maximum")
	duration    = flag.Duration("duration", 5*time.Second, "length of each measurement")
	minimalAddr = flag.String("least", "", "only serve the minimal service, at this address")
	redisAddr   = flag.String("redis", "", "address of the minimal service's Redis")
)

func main() {
	flag.Parse()
	if *minimalAddr != "" {
		fail(serveMinimal(*redisAddr, *minimalAddr))
	}
	ctx := context.Background()
	b := &bench{
		watches:  rig.NewTable("what", "p50 ms", "p99 ms", "max ms", "Redis connections", "server bytes each", "Redis bytes each", "connected in"),
		idle:     rig.NewTable("what", "p50 ms", "p99 ms", "max ms", "Redis commands/s idle", "Redis CPU % idle", "server CPU % idle"),
		fairness: rig.NewTable("what", "took", "against alone"),
		tracking: start(ctx, rig.Options{Config: fairConfig}),
		polling:  start(ctx, rig.Options{NoTracking: true}),
	}
	defer b.tracking.Close()
	defer b.polling.Close()
	for range *rounds {
		b.round(ctx)
	}
	for _, t := range []*rig.Table{b.watches, b.idle, b.fairness} {
		t.Print(os.Stdout)
		fmt.Println()
	}
}

// bench is the servers that are measured, and the results.
type bench struct {
	tracking *rig.Rig // the server uses CLIENT TRACKING
	polling  *rig.Rig // the server polls the keys it watches

	watches, idle, fairness *rig.Table
}

func (b *bench) round(ctx context.Context) {
	r := b.tracking
	naiveWatchers(ctx, r, b.watches, *naive)
	minimal := startMinimal(ctx, r)
	watchers(ctx, minimal, b.watches, *naive, "raw", minimalLabel)
	minimal.Close()
	for _, n := range rig.Numbers(*streams) {
		for _, way := range []string{"gRPC", "raw"} {
			watchers(ctx, r, b.watches, n, way, "")
		}
	}
	for _, n := range rig.Numbers(*jobs) {
		watchMany(ctx, r, b.watches, n)
	}
	for _, n := range rig.Numbers(*polled) {
		watchers(ctx, b.polling, b.watches, n, "raw", ", polled")
	}
	r.Raw.FlushAll(ctx) // else the cleaner scans the events of raw clients, which have no TTL
	naiveWorkers(ctx, r, b.idle)
	minimal = startMinimal(ctx, r)
	idleWorkers(ctx, minimal, b.idle, "Consume", minimalLabel)
	minimal.Close()
	idleWorkers(ctx, r, b.idle, "Read", "")
	idleWorkers(ctx, r, b.idle, "Consume", "")
	fairness(ctx, r, b.fairness)
	for _, store := range []*rig.Rig{r, b.polling} {
		store.Raw.FlushAll(ctx)
	}
}

// running are the processes that fail stops.
var running []*rig.Rig

func start(ctx context.Context, o rig.Options) *rig.Rig {
	r, err := rig.Start(ctx, o)
	if err != nil {
		fail(err)
	}
	running = append(running, r)
	return r
}

// fail stops all processes and exits with an error.
func fail(err error) {
	for _, r := range running {
		r.Close()
	}
	log.Fatal(err)
}
