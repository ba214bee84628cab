// Command shards measures how the work of one deployment spreads over the masters of a Redis
// Cluster: whole lives of tasks over clusters of several sizes, in turns. What a deployment
// can do is bounded by its busiest master, so that one's processor time for a task is what
// matters; it does not depend on how many cores this machine has. See docs/performance.md.
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
	"github.com/hikmaai-io/argus-queue/tests/bench/internal/rig"
)

var (
	sizes  = flag.String("masters", "1,3,6", "how many masters the clusters have")
	shards = flag.Int("shards", 32, "how many shards the jobs are spread over")
	tasks  = flag.Int("tasks", 20000, "how many tasks live in each round")
	rounds = flag.Int("rounds", 5, "how many rounds")
)

const (
	batch = 50
	lanes = 4
)

// deployment is a cluster and the shards on it.
type deployment struct {
	cluster *rig.Cluster
	shards  *redis.Shards
	rates   []float64
	// busiest and whole are the processor time of the busiest master and of all of them, in
	// µs for each task.
	busiest, whole []float64
}

func main() {
	log.SetFlags(0)
	flag.Parse()
	goredis.SetLogger(quiet{}) // errors are returned
	if err := run(context.Background()); err != nil {
		log.Fatal(err)
	}
}

type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}

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
	table := rig.NewTable("masters", "tasks/s here", "all masters, µs a task", "the busiest, µs a task", "least, most", "a master's share of one's work")
	table.Quiet = true
	for _, d := range all {
		slices.Sort(d.busiest)
		busiest := rig.Median(d.busiest)
		table.Row(fmt.Sprint(d.cluster.Size()), fmt.Sprintf("%.0f", rig.Median(d.rates)), fmt.Sprintf("%.1f", rig.Median(d.whole)), fmt.Sprintf("%.1f", busiest),
			fmt.Sprintf("%.1f, %.1f", d.busiest[0], d.busiest[len(d.busiest)-1]), fmt.Sprintf("%.2f", busiest/rig.Median(all[0].busiest)))
	}
	table.Print(os.Stdout)
	return nil
}

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
	s, err := redis.NewShards(ctx, client, redis.BrokerConfig{Logger: slog.New(slog.DiscardHandler)})
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

// round lets tasks live, and notes what that cost.
func (d *deployment) round(ctx context.Context) error {
	before, began := d.cluster.CPU(), time.Now()
	if err := d.lives(ctx, *tasks); err != nil {
		return err
	}
	d.rates = append(d.rates, float64(*tasks)/time.Since(began).Seconds())
	busiest, whole := time.Duration(0), time.Duration(0)
	for i, after := range d.cluster.CPU() {
		used := after - before[i]
		busiest, whole = max(busiest, used), whole+used
	}
	d.busiest = append(d.busiest, float64(busiest.Microseconds())/float64(*tasks))
	d.whole = append(d.whole, float64(whole.Microseconds())/float64(*tasks))
	return nil
}

// lives publishes tasks in batches, and works on them in batches.
func (d *deployment) lives(ctx context.Context, n int) error {
	var all errgroup.Group
	var left atomic.Int64
	left.Store(int64(n))
	working, done := context.WithCancel(ctx)
	defer done()
	for lane := range lanes {
		all.Go(func() error {
			for range n / lanes / batch {
				_, _, err := d.shards.PublishBatch(ctx, redis.PublishBatchRequest{Tasks: make([]redis.Task, batch), State: &redis.InitialState{}})
				if err != nil {
					return err
				}
			}
			return nil
		})
		all.Go(func() error {
			for {
				deliveries, err := d.shards.Read(working, redis.ReadRequest{Consumer: fmt.Sprint("w", lane), Max: batch, Wait: time.Minute})
				if working.Err() != nil {
					return nil
				}
				if err != nil {
					return err
				}
				completions := make([]redis.Completion, len(deliveries))
				for i, delivery := range deliveries {
					completions[i] = redis.Completion{Token: delivery.Lease.Token(), Result: redis.Result{Status: redis.StatusCompleted}}
				}
				outcomes, err := d.shards.CompleteBatch(ctx, completions)
				if err != nil {
					return err
				}
				for _, o := range outcomes {
					err = errors.Join(err, o.Err)
				}
				if err != nil {
					return err
				}
				if left.Add(-int64(len(outcomes))) <= int64(n%(lanes*batch)) {
					done()
				}
			}
		})
	}
	return all.Wait()
}
