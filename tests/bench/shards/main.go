// Command shards measures how the work of one deployment spreads over the masters of a Redis
// Cluster: whole lives of tasks on clusters of several sizes, in turn. The busiest master bounds
// the throughput of a deployment, so the result is that master's processor time per task. It
// does not depend on the number of cores of this machine. See docs/performance.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	sizes  = flag.String("masters", "1,3,6", "numbers of masters, one cluster for each")
	shards = flag.Int("shards", 32, "number of shards")
	tasks  = flag.Int("tasks", 20000, "number of tasks in each round")
	rounds = flag.Int("rounds", 5, "number of rounds")
)

const (
	batch = 50 // tasks in one call
	lanes = 4  // producers, and workers
)

// deployment is a cluster, the shards on it, and the results of each round.
type deployment struct {
	cluster *rig.Cluster
	shards  *broker.Broker
	rates   []float64
	// busiest and total are the processor time of the busiest master and of all masters
	// together, in µs per task.
	busiest, total []float64
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	goredis.SetLogger(discard{}) // errors are returned
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// discard is a logger without output.
type discard struct{}

func (discard) Printf(context.Context, string, ...any) {}

// run measures all deployments, round by round, and prints the table.
func run(ctx context.Context) error {
	var all []*deployment
	for _, n := range rig.Numbers(*sizes) {
		d, closeAll, err := deploy(ctx, n)
		if err != nil {
			return err
		}
		defer closeAll()
		all = append(all, d)
	}
	for range *rounds {
		for _, d := range all {
			if err := d.round(ctx); err != nil {
				return err
			}
		}
	}
	table := rig.NewTable("masters", "tasks/s here", "all masters, µs/task", "busiest master, µs/task", "min, max", "busiest, relative to the first row")
	table.Quiet = true
	for _, d := range all {
		slices.Sort(d.busiest)
		busiest := rig.Median(d.busiest)
		table.Row(fmt.Sprint(d.cluster.Size()), fmt.Sprintf("%.0f", rig.Median(d.rates)), fmt.Sprintf("%.1f", rig.Median(d.total)), fmt.Sprintf("%.1f", busiest),
			fmt.Sprintf("%.1f, %.1f", d.busiest[0], d.busiest[len(d.busiest)-1]), fmt.Sprintf("%.2f", busiest/rig.Median(all[0].busiest)))
	}
	table.Print(os.Stdout)
	return nil
}

// deploy starts a cluster and connects to it. The caller calls the returned function to stop it.
func deploy(ctx context.Context, masters int) (*deployment, func(), error) {
	cluster, err := rig.StartCluster(ctx, masters)
	if err != nil {
		return nil, nil, err
	}
	client, err := redis.NewClient(redis.Config{Addr: strings.Join(cluster.Addrs, ","), Cluster: true, Prefix: "argus:", Shards: *shards})
	if err != nil {
		cluster.Close()
		return nil, nil, err
	}
	s, err := broker.New(ctx, client, job.Settings{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		_ = client.Close()
		cluster.Close()
		return nil, nil, err
	}
	return &deployment{cluster: cluster, shards: s}, func() {
		s.Close()
		_ = client.Close()
		cluster.Close()
	}, nil
}

// round runs the tasks through their lives, and records the rate and the processor time.
func (d *deployment) round(ctx context.Context) error {
	before, start := d.cluster.CPU(), time.Now()
	if err := d.lives(ctx, *tasks); err != nil {
		return err
	}
	d.rates = append(d.rates, float64(*tasks)/time.Since(start).Seconds())
	busiest, total := time.Duration(0), time.Duration(0)
	for i, after := range d.cluster.CPU() {
		used := after - before[i]
		busiest, total = max(busiest, used), total+used
	}
	d.busiest = append(d.busiest, float64(busiest.Microseconds())/float64(*tasks))
	d.total = append(d.total, float64(total.Microseconds())/float64(*tasks))
	return nil
}

// lives publishes n tasks, and reads and completes them, all in batches.
func (d *deployment) lives(ctx context.Context, n int) error {
	var all errgroup.Group
	var left atomic.Int64
	left.Store(int64(n))
	working, done := context.WithCancel(ctx)
	defer done()
	for lane := range lanes {
		all.Go(func() error { return d.publish(ctx, n/lanes/batch) })
		all.Go(func() error {
			return d.work(working, fmt.Sprint("w", lane), func(completed int) {
				if left.Add(-int64(completed)) <= int64(n%(lanes*batch)) {
					done()
				}
			})
		})
	}
	return all.Wait()
}

func (d *deployment) publish(ctx context.Context, batches int) error {
	for range batches {
		_, _, err := d.shards.PublishBatch(ctx, queue.PublishBatchRequest{Tasks: make([]job.Task, batch), State: &job.InitialState{}})
		if err != nil {
			return err
		}
	}
	return nil
}

// work completes tasks until ctx ends, and reports the number of each batch.
func (d *deployment) work(ctx context.Context, consumer string, completed func(int)) error {
	for {
		deliveries, err := d.shards.Read(ctx, queue.ReadRequest{Consumer: consumer, Max: batch, Wait: time.Minute})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		completions := make([]result.Completion, len(deliveries))
		for i, delivery := range deliveries {
			completions[i] = result.Completion{Token: delivery.Lease.Token(), Result: job.Result{Status: job.StatusCompleted}}
		}
		outcomes, err := d.shards.CompleteBatch(context.WithoutCancel(ctx), completions)
		if err != nil {
			return err
		}
		for _, o := range outcomes {
			err = errors.Join(err, o.Err)
		}
		if err != nil {
			return err
		}
		completed(len(outcomes))
	}
}
