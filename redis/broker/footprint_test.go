package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// footprint is what jobs leave in a Redis of their own.
type footprint struct {
	perJob int64 // bytes for each finished job, its own fields left out
	stream int64 // bytes of the task stream
	keys   int64
}

// finish takes jobs through their whole life and measures what they leave.
func finish(t testing.TB, jobs int) footprint {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	e := redistest.Own(t).Engine()
	client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix}))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	b, err := broker.New(context.Background(), client, job.Settings{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	raw := e.Raw(t)
	memory := func() int64 {
		for line := range strings.Lines(raw.Info(ctx, "memory").Val()) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "used_memory:"); ok {
				n, _ := strconv.ParseInt(value, 10, 64)
				return n
			}
		}
		t.Fatal("INFO has no used_memory")
		return 0
	}
	result := job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3", "report": "gs://bucket/report"}}
	own := int64(2 * len("findings3reportgs://bucket/report")) // in the state and in the event
	life := func(batch int) {
		tasks := make([]job.Task, batch)
		for i := range tasks {
			tasks[i].OrganizationID, tasks[i].Scanners = "acme", []string{"trivy", "clamav"}
		}
		if _, _, err := b.PublishBatch(ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
			t.Fatal(err)
		}
		for done := 0; done < batch; {
			deliveries, err := b.Read(ctx, queue.ReadRequest{Consumer: "w", Max: batch})
			if err != nil {
				t.Fatal(err)
			}
			var workers errgroup.Group
			workers.SetLimit(8)
			for _, d := range deliveries {
				workers.Go(func() error {
					_, err := b.Complete(ctx, d.Lease.Token(), result)
					return err
				})
			}
			if err := workers.Wait(); err != nil {
				t.Fatal(err)
			}
			done += len(deliveries)
		}
	}
	life(1) // what exists once, however many the jobs
	before, keysBefore := memory(), raw.DBSize(ctx).Val()
	for left := jobs; left > 0; left -= 500 {
		life(min(left, 500))
	}
	stream, err := raw.MemoryUsage(ctx, e.Prefix+job.DefaultQueue).Result()
	if err != nil {
		t.Fatal(err)
	}
	return footprint{perJob: (memory()-before)/int64(jobs) - own, stream: stream, keys: raw.DBSize(ctx).Val() - keysBefore}
}

// A finished job takes at most 1.5 KB of Redis's memory besides its own fields, in two keys, and nothing of
// it remains in the task stream.
func TestFinishedJobIsSmallInRedis(t *testing.T) {
	t.Parallel()
	const jobs = 2000
	f := finish(t, jobs)
	t.Logf("%+v", f)
	if f.perJob > 1500 || f.keys != 2*jobs || f.stream > 10<<10 {
		t.Errorf("%+v", f)
	}
}

// BenchmarkFootprint is TestFinishedJobIsSmallInRedis at any size: -benchtime=1000000x.
func BenchmarkFootprint(b *testing.B) {
	f := finish(b, b.N)
	b.ReportMetric(float64(f.perJob), "B/job")
	b.ReportMetric(float64(f.stream), "B/stream")
	b.ReportMetric(float64(f.keys)/float64(b.N), "keys/job")
	fmt.Fprintln(b.Output(), f)
}
