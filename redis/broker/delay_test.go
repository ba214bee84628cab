package broker_test

import (
	"errors"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A delayed task is delivered when its delay is over; one whose time has passed is published at once.
func TestDelayedTaskIsDeliveredWhenDue(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		publish := func(r queue.PublishRequest) {
			t.Helper()
			if p, _, err := b.broker.Publish(b.ctx, r); err != nil || p.EntryID != "" {
				t.Fatalf(`Publish: %+v, %v; want p.EntryID == ""`, p, err)
			}
		}
		before := time.Now()
		publish(queue.PublishRequest{Task: job.Task{JobID: "far"}, RunAt: before.Add(time.Hour)})
		publish(queue.PublishRequest{Task: job.Task{JobID: "soon"}, Delay: 150 * time.Millisecond})
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 5, Wait: 10 * time.Second})
		if err != nil || len(d) != 1 || d[0].Task.JobID != "soon" {
			t.Fatalf(`Read: %+v, %v; want len(d) == 1 and d[0].Task.JobID == "soon"`, d, err)
		}
		if waited := time.Since(before); waited < 150*time.Millisecond {
			t.Error("came after", waited)
		}
		if n := b.raw.ZCard(b.ctx, b.key("argus_delayed:"+job.DefaultQueue)).Val(); n != 1 {
			t.Error(n, "still delayed")
		}
		p, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "past"}, RunAt: before.Add(-time.Hour)})
		if err != nil || p.EntryID == "" {
			t.Error("a time that has passed:", p, err)
		}
	})
}

// Delayed tasks do not need the server that published them, and two servers deliver each of them once.
func TestDelayedTaskNeedsNotItsPublisher(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 20 {
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Delay: 200 * time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		}
		b.broker.Close()
		others := []*broker.Broker{b.open(t, job.Settings{}), b.open(t, job.Settings{})}
		seen := make(map[string]bool)
		for i := 0; len(seen) < 20; i++ {
			deliveries, err := others[i%2].Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 3, Wait: longWait})
			if err != nil || len(deliveries) == 0 {
				t.Fatal(deliveries, err)
			}
			for _, d := range deliveries {
				if seen[d.Task.JobID] {
					t.Error("delivered twice:", d.Task.JobID)
				}
				seen[d.Task.JobID] = true
			}
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 20 {
			t.Error(n, "entries of 20 tasks")
		}
	})
}

// A delayed publish that fails leaves no task, and malformed entries among the delayed tasks become dead
// letters without blocking others.
func TestMalformedDelayedTasksDie(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		queues, delayed := b.key("argus_queues:delayed"), b.key("argus_delayed:"+job.DefaultQueue)
		b.raw.Set(b.ctx, queues, "text", 0)
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Delay: time.Hour}); !errors.Is(err, job.ErrKeyType) {
			t.Errorf("Publish: %v; want the error ErrKeyType", err)
		}
		if n := b.raw.Exists(b.ctx, delayed).Val(); n != 0 {
			t.Error("a publish that failed left a task")
		}
		b.raw.Del(b.ctx, queues)
		b.raw.ZAdd(b.ctx, delayed, goredis.Z{Score: 1, Member: "garbage"}, goredis.Z{Score: 2, Member: "5:short"}, goredis.Z{Score: 3, Member: "1:u6:job_id"})
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}, Delay: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
		if err != nil || len(d) != 1 || d[0].Task.JobID != "job" {
			t.Errorf(`Read: %+v, %v; want len(d) == 1 and d[0].Task.JobID == "job"`, d, err)
		}
		if n := len(b.stream(t, "argus_dead:"+job.DefaultQueue)); n != 3 {
			t.Error(n, "dead letters")
		}
	})
}
