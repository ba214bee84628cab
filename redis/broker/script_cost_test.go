package broker_test

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strconv"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// BenchmarkScripts shows what each operation costs Redis, in microseconds of processor time
// for one task that comes alone, beside the plain commands that it replaces: those that do
// the same without checks. Run it by "make bench-scripts".
func BenchmarkScripts(bench *testing.B) {
	server := redistest.Own(bench)
	fields := map[string]string{"findings": "3", "scanned": "120"}
	task := func(i int) job.Task {
		return job.Task{JobID: fmt.Sprintf("job-%09d", i), ReportID: "report", OrganizationID: "acme", GCSURI: "gs://bucket/object", Scanners: []string{"trivy", "clamav"}}
	}
	for _, op := range []struct {
		name string
		// prepare runs before, and isn't counted; script and raw are.
		prepare func(c *cost, i int)
		script  func(c *cost, i int) error
		raw     func(c *cost, i int, pipe goredis.Pipeliner)
	}{
		{"publish", nil, func(c *cost, i int) error {
			_, _, err := c.broker.Publish(c.ctx, queue.PublishRequest{Task: task(i)})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			pipe.XAdd(c.ctx, c.taskEntry(task(i)))
		}},
		{"publish with state", nil, func(c *cost, i int) error {
			_, _, err := c.broker.Publish(c.ctx, queue.PublishRequest{Task: task(i), State: &job.InitialState{Fields: fields}})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			pipe.XAdd(c.ctx, c.taskEntry(task(i)))
			c.state(pipe, i, "pending")
		}},
		{"publish with request id", nil, func(c *cost, i int) error {
			_, _, err := c.broker.Publish(c.ctx, queue.PublishRequest{Task: task(i), PublishOptions: queue.PublishOptions{RequestID: fmt.Sprint(i)}})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			pipe.SetNX(c.ctx, c.key(fmt.Sprint("argus_request:", i)), "digest", time.Hour)
			pipe.XAdd(c.ctx, c.taskEntry(task(i)))
		}},
		{"read", (*cost).fill, func(c *cost, _ int) error {
			_, err := c.broker.Read(c.ctx, queue.ReadRequest{Consumer: "w"})
			return err
		}, func(c *cost, _ int, pipe goredis.Pipeliner) {
			pipe.XReadGroup(c.ctx, groupRead(c.stream, job.DefaultGroup, 1))
		}},
		{"extend", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Extend(c.ctx, c.held.Lease.Token(), nil)
			return err
		}, func(c *cost, _ int, pipe goredis.Pipeliner) {
			c.claim(pipe)
		}},
		{"complete", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Complete(c.ctx, c.held.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: fields})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			c.settle(pipe)
			c.state(pipe, i, "completed")
			key := c.key(fmt.Sprintf("argus_completion:job-%09d", i))
			pipe.XAdd(c.ctx, entry(key, "job_id", "job", "status", "completed", "completed_at", "1234567890", "findings", "3", "scanned", "120"))
			pipe.PExpire(c.ctx, key, time.Hour)
		}},
		{"ack", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Ack(c.ctx, []string{c.held.Lease.Token()})
			return err
		}, func(c *cost, _ int, pipe goredis.Pipeliner) { c.settle(pipe) }},
		{"nack", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Nack(c.ctx, now(c.held, "later"))
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			c.settle(pipe)
			pipe.XAdd(c.ctx, c.taskEntry(task(i)))
		}},
		{"nack with delay", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Nack(c.ctx, queue.NackRequest{Token: c.held.Lease.Token(), Delay: new(time.Hour)})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			c.settle(pipe)
			pipe.ZAdd(c.ctx, c.key("delayed"), score(float64(i), fmt.Sprint(i, c.taskEntry(task(i)).Values)))
		}},
		{"nack to the dead letters", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Nack(c.ctx, queue.NackRequest{Token: c.held.Lease.Token(), DeadLetter: true})
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			c.settle(pipe)
			add := c.taskEntry(task(i))
			add.Stream = c.key("dead")
			pipe.XAdd(c.ctx, add)
			c.state(pipe, i, "failed")
			pipe.XAdd(c.ctx, entry(c.key(fmt.Sprint("argus_completion:", i)), "status", "failed"))
		}},
		{"release", (*cost).lease, func(c *cost, _ int) error {
			_, err := c.broker.Nack(c.ctx, queue.NackRequest{Token: c.held.Lease.Token(), Release: true})
			return err
		}, func(c *cost, _ int, pipe goredis.Pipeliner) { c.claim(pipe) }},
		{"cancel", (*cost).fill, func(c *cost, i int) error {
			_, err := c.broker.Cancel(c.ctx, task(i).JobID, "")
			return err
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			c.state(pipe, i, "cancelled")
			pipe.XAdd(c.ctx, entry(c.key(fmt.Sprint("argus_completion:", i)), "status", "cancelled"))
			pipe.Publish(c.ctx, c.key(fmt.Sprint("argus_cancel:", i)), "")
		}},
		{"set a field of the state", nil, func(c *cost, i int) error {
			return c.broker.SetState(c.ctx, task(i).JobID, map[string]string{"progress": "50"}, "")
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			pipe.HSet(c.ctx, c.key(fmt.Sprint("job_state:", i)), "progress", "50")
			pipe.PExpire(c.ctx, c.key(fmt.Sprint("job_state:", i)), time.Hour)
		}},
		{"set a field under a lease", (*cost).lease, func(c *cost, _ int) error {
			return c.broker.SetState(c.ctx, c.held.Task.JobID, map[string]string{"progress": "50"}, c.held.Lease.Token())
		}, func(c *cost, i int, pipe goredis.Pipeliner) {
			pipe.HSet(c.ctx, c.key(fmt.Sprint("job_state:", i)), "progress", "50")
			pipe.PExpire(c.ctx, c.key(fmt.Sprint("job_state:", i)), time.Hour)
		}},
	} {
		for _, way := range []string{"argus", "commands"} {
			bench.Run(op.name+"/"+way, func(bench *testing.B) {
				c := newCost(bench, server.Engine(), task)
				held := make([]queue.Delivery, bench.N)
				for i := range held {
					if op.prepare != nil {
						op.prepare(c, i)
						held[i] = c.held
					}
				}
				before := c.used()
				for i := range held {
					c.held = held[i]
					var err error
					if way == "argus" {
						err = op.script(c, i)
					} else {
						_, err = c.raw.Pipelined(c.ctx, func(pipe goredis.Pipeliner) error { op.raw(c, i, pipe); return nil })
					}
					if err != nil {
						bench.Fatal(err)
					}
				}
				bench.ReportMetric((c.used()-before)/float64(bench.N), "redis-µs/op")
				bench.ReportMetric(0, "ns/op") // it includes the preparation
			})
		}
	}
}

// cost is a store and what commands cost it.
type cost struct {
	*bundle
	bench  *testing.B
	task   func(int) job.Task
	stream string
	held   queue.Delivery
}

func newCost(bench *testing.B, e redistest.Engine, task func(int) job.Task) *cost {
	client, err := redis.NewClient(patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Prefix}))
	if err != nil {
		bench.Fatal(err)
	}
	opened, err := broker.New(context.Background(), client, job.Settings{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		bench.Fatal(err)
	}
	bench.Cleanup(func() { opened.Close(); _ = client.Close() })
	b := &bundle{ctx: bench.Context(), engine: e, client: client, broker: opened, raw: e.Raw(bench)}
	c := &cost{bundle: b, bench: bench, task: task, stream: b.key(job.DefaultQueue)}
	b.raw.XGroupCreateMkStream(b.ctx, c.stream, job.DefaultGroup, "0")
	return c
}

var usedTime = regexp.MustCompile(`(?m)^used_cpu_(?:user|sys):([0-9.]+)`)

// used is the processor time that Redis has used, in microseconds.
func (c *cost) used() float64 {
	text, err := c.raw.Info(c.ctx, "cpu").Result()
	if err != nil {
		c.bench.Fatal(err)
	}
	total := 0.0
	for _, match := range usedTime.FindAllStringSubmatch(text, -1) {
		seconds, _ := strconv.ParseFloat(match[1], 64)
		total += seconds * 1e6
	}
	return total
}

func (c *cost) fill(i int) {
	if _, _, err := c.broker.Publish(c.ctx, queue.PublishRequest{Task: c.task(i)}); err != nil {
		c.bench.Fatal(err)
	}
}

func (c *cost) lease(i int) {
	c.fill(i)
	d, err := c.broker.Read(c.ctx, queue.ReadRequest{Consumer: "w"})
	if err != nil || len(d) != 1 {
		c.bench.Fatal(d, err)
	}
	c.held = d[0]
}

func (c *cost) taskEntry(t job.Task) *goredis.XAddArgs {
	return &goredis.XAddArgs{Stream: c.stream, Values: job.EncodeTask(t, job.EncodingFields)}
}

func (c *cost) state(pipe goredis.Pipeliner, i int, status string) {
	key := c.key(fmt.Sprintf("job_state:job-%09d", i))
	pipe.HSet(c.ctx, key, "findings", "3", "scanned", "120", "status", status)
	pipe.PExpire(c.ctx, key, time.Hour)
}

func (c *cost) settle(pipe goredis.Pipeliner) {
	pipe.XAck(c.ctx, c.stream, job.DefaultGroup, c.held.Lease.EntryID)
	pipe.XDel(c.ctx, c.stream, c.held.Lease.EntryID)
}

func (c *cost) claim(pipe goredis.Pipeliner) {
	pipe.Do(c.ctx, "XCLAIM", c.stream, job.DefaultGroup, "w", 0, c.held.Lease.EntryID, "IDLE", 0, "JUSTID")
}
