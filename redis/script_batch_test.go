package redis_test

import (
	"fmt"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// BenchmarkBatches is BenchmarkScripts for batches of 64: microseconds of Redis's time for
// one task of them.
func BenchmarkBatches(bench *testing.B) {
	const size = 64
	server := redistest.Own(bench)
	fields := map[string]string{"findings": "3", "scanned": "120"}
	task := func(i int) redis.Task {
		return redis.Task{JobID: fmt.Sprintf("job-%09d", i), ReportID: "report", OrganizationID: "acme", GCSURI: "gs://bucket/object", Scanners: []string{"trivy", "clamav"}}
	}
	publish := func(c *cost, at int, state *redis.InitialState) {
		tasks := make([]redis.Task, size)
		for i := range tasks {
			tasks[i] = task(at + i)
		}
		if _, _, err := c.broker.PublishBatch(c.ctx, redis.PublishBatchRequest{Tasks: tasks, State: state}); err != nil {
			c.bench.Fatal(err)
		}
	}
	read := func(c *cost) []redis.Delivery {
		d, err := c.broker.Read(c.ctx, redis.ReadRequest{Consumer: "w", Max: size})
		if err != nil || len(d) != size {
			c.bench.Fatal(len(d), err)
		}
		return d
	}
	steps := []struct {
		name   string
		script func(c *cost, at int, held []redis.Delivery) []redis.Delivery
		raw    func(c *cost, at int, held []goredis.XMessage, pipe goredis.Pipeliner) *goredis.XStreamSliceCmd
	}{
		{"publish", func(c *cost, at int, _ []redis.Delivery) []redis.Delivery {
			publish(c, at, nil)
			return nil
		}, func(c *cost, at int, _ []goredis.XMessage, pipe goredis.Pipeliner) *goredis.XStreamSliceCmd {
			for i := range size {
				pipe.XAdd(c.ctx, c.taskEntry(task(at+i)))
			}
			return nil
		}},
		{"publish with state", func(c *cost, at int, _ []redis.Delivery) []redis.Delivery {
			publish(c, at, &redis.InitialState{Fields: fields})
			return nil
		}, func(c *cost, at int, _ []goredis.XMessage, pipe goredis.Pipeliner) *goredis.XStreamSliceCmd {
			for i := range size {
				pipe.XAdd(c.ctx, c.taskEntry(task(at+i)))
				c.state(pipe, at+i, "pending")
			}
			return nil
		}},
		{"read", func(c *cost, _ int, _ []redis.Delivery) []redis.Delivery {
			return read(c)
		}, func(c *cost, _ int, _ []goredis.XMessage, pipe goredis.Pipeliner) *goredis.XStreamSliceCmd {
			return pipe.XReadGroup(c.ctx, groupRead(c.stream, redis.DefaultGroup, size))
		}},
		{"complete", func(c *cost, _ int, held []redis.Delivery) []redis.Delivery {
			all := make([]redis.Completion, size)
			for i, d := range held {
				all[i] = redis.Completion{Token: d.Lease.Token(), Result: redis.Result{Status: redis.StatusCompleted, Fields: fields}}
			}
			outcomes, err := c.broker.CompleteBatch(c.ctx, all)
			if err != nil || outcomes[0].Err != nil || outcomes[0].Already {
				c.bench.Fatal(outcomes[0], err)
			}
			return nil
		}, func(c *cost, at int, held []goredis.XMessage, pipe goredis.Pipeliner) *goredis.XStreamSliceCmd {
			for i, m := range held {
				c.state(pipe, at+i, "completed")
				key := c.key(fmt.Sprintf("argus_completion:job-%09d", at+i))
				pipe.XAdd(c.ctx, entry(key, "job_id", fmt.Sprintf("job-%09d", at+i), "status", "completed", "completed_at", "1234567890", "findings", "3", "scanned", "120"))
				pipe.PExpire(c.ctx, key, 1e15)
				pipe.XAck(c.ctx, c.stream, redis.DefaultGroup, m.ID)
				pipe.XDel(c.ctx, c.stream, m.ID)
			}
			return nil
		}},
	}
	for _, measured := range steps {
		for _, way := range []string{"script", "commands"} {
			bench.Run(measured.name+"/"+way, func(bench *testing.B) {
				c := newCost(bench, server.Engine(), task)
				used := 0.0
				for at := 0; at < bench.N; at += size {
					var held []redis.Delivery
					var messages []goredis.XMessage
					for _, step := range steps {
						if step.name == "publish" != (measured.name == "publish") && step.name != "read" && step.name != "complete" {
							continue
						}
						before := c.used(way)
						if way == "script" {
							if got := step.script(c, at, held); got != nil {
								held = got
							}
						} else {
							pipe := c.raw.Pipeline()
							got := step.raw(c, at, messages, pipe)
							if _, err := pipe.Exec(c.ctx); err != nil {
								bench.Fatal(err)
							}
							if got != nil {
								messages = got.Val()[0].Messages
							}
						}
						if step.name == measured.name {
							used += c.used(way) - before
						}
					}
				}
				bench.ReportMetric(used/float64((bench.N+size-1)/size*size), "redis-µs/op")
				bench.ReportMetric(0, "ns/op") // it says nothing: the preparation is in it
			})
		}
	}
}
