package broker_test

import (
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Fields at the contract's limits: some as large as possible, and as many as possible.
var (
	largeFields = map[string]string{"a": strings.Repeat("x", 1<<20), "b": strings.Repeat("x", 1<<20), "c": strings.Repeat("x", 1<<20-4096)}
	manyFields  = func() map[string]string {
		fields := make(map[string]string)
		for i := range job.MaxFields {
			fields[fmt.Sprintf("field-%03d", i)] = strings.Repeat("x", 4<<10)
		}
		return fields
	}()
)

// taskScenarios are those of a task's life.
func taskScenarios() map[string]func(c *commands) {
	return map[string]func(c *commands){
		"publish large": func(c *commands) {
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "a", Attributes: largeFields}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "b", Attributes: manyFields}, State: &job.InitialState{Fields: manyFields}, PublishOptions: queue.PublishOptions{RequestID: "r"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "c", Attributes: largeFields}, Delay: time.Hour})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "d", Attributes: manyFields}, PublishOptions: queue.PublishOptions{Queue: "fair"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "d", Attributes: manyFields}, PublishOptions: queue.PublishOptions{Queue: "unique"}})
		},
		"publish many": func(c *commands) {
			for _, queueName := range []string{"", "fair", "unique"} {
				c.publishMany(queueName, job.MaxBatch, 4<<10, 0)
				c.publishMany(queueName, job.MaxBatch, 4<<10, time.Hour)
			}
		},
		"read, extend and complete large": func(c *commands) {
			for i := range 12 {
				c.publish(queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint(i), Attributes: largeFields}})
			}
			for done := 0; done < 12; {
				for _, d := range c.read("", job.MaxBatch) {
					_, err := c.broker.Extend(c.ctx, d.Lease.Token(), largeFields)
					c.must(err)
					_, err = c.broker.Complete(c.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: manyFields})
					c.must(err)
					done++
				}
			}
		},
		"settle many": func(c *commands) {
			for round := range 5 {
				c.publishMany("", job.MaxBatch, 100, 0)
				deliveries := c.readAll("", job.MaxBatch)
				var tokens []string
				var completions []result.Completion
				for _, d := range deliveries {
					tokens = append(tokens, d.Lease.Token())
					completions = append(completions, result.Completion{Token: d.Lease.Token(), Result: job.Result{Status: job.StatusCompleted, Fields: map[string]string{"x": strings.Repeat("x", 2<<10)}}})
				}
				var err error
				switch round {
				case 0:
					_, err = c.broker.Ack(c.ctx, tokens)
				case 1:
					_, err = c.broker.CompleteBatch(c.ctx, completions)
				case 2:
					c.broker.Release(c.ctx, deliveries)
				case 3, 4: // their leases expire
					for _, d := range deliveries {
						c.expire(c.t, d.Lease)
					}
					c.readAll("", job.MaxBatch)
				}
				c.must(err)
				_, err = c.broker.Read(c.ctx, queue.ReadRequest{Consumer: "w", Max: job.MaxBatch, OwnPending: true})
				c.must(err)
			}
		},
		"return": func(c *commands) {
			for i := range 6 {
				c.publish(queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint(i), Attributes: largeFields}})
			}
			for i, d := range c.readAll("", 6) {
				r := queue.NackRequest{Token: d.Lease.Token(), Reason: strings.Repeat("x", job.MaxReasonBytes)}
				switch i % 3 {
				case 0:
					r.DeadLetter = true
				case 1:
					r.Delay = new(time.Duration(0))
				case 2:
					r.Delay = new(time.Hour)
				}
				c.must(c.nack(r))
			}
			_, err := c.broker.DeadLetters(c.ctx, "", "", job.MaxBatch)
			c.must(err)
			_, err = c.broker.Redrive(c.ctx, "", true, nil)
			c.must(err)
		},
		"delayed": func(c *commands) {
			c.publishMany("", job.MaxBatch, 4<<10, time.Hour)
			c.publishMany("fair", job.MaxBatch, 4<<10, time.Hour)
			fair := c.key("argus_delayed:fair")
			for _, member := range c.raw.ZRange(c.ctx, fair, 0, -1).Val() {
				c.raw.ZAdd(c.ctx, fair, score(1, member))
			}
			c.travel(c.t)
			for c.raw.ZCard(c.ctx, fair).Val() > 0 {
				c.must(c.broker.MoveDue(c.ctx))
			}
			c.readAll("", job.MaxBatch)
			c.readAll("fair", job.MaxBatch)
		},
	}
}

// jobScenarios are those of events, states, watches and administration.
func jobScenarios() map[string]func(c *commands) {
	return map[string]func(c *commands){
		"reports": func(c *commands) { // 8 MiB of events, then many
			for i := range 20 {
				_, err := c.broker.Report(c.ctx, "large", job.Result{Status: job.StatusRunning, Fields: largeFields})
				if err != nil && i < 2 {
					c.t.Fatal(err)
				}
				c.note()
			}
			for range 1000 {
				_, err := c.broker.Report(c.ctx, "many", job.Result{Status: job.StatusRunning})
				c.must(err)
			}
			for _, id := range []string{"large", "many"} {
				for range 2 {
					_, err := c.broker.Report(c.ctx, id, job.Result{Status: job.StatusCompleted, Fields: largeFields})
					c.must(err)
				}
			}
		},
		"raw peers' events": func(c *commands) {
			c.peerEvents(c.t, "small", 10_000, "data", `{"status":"running"}`)
			c.peerEvents(c.t, "large", 20, "status", "running", "x", strings.Repeat("x", 2900<<10))
			c.peerEvents(c.t, "behind", 1, "status", "failed")
			c.peerEvents(c.t, "behind", 20, "status", "running", "x", strings.Repeat("x", 2900<<10))
			for _, id := range []string{"small", "large", "behind"} {
				for _, status := range []job.Status{job.StatusRunning, job.StatusCompleted, job.StatusFailed} {
					c.note()
					_, _ = c.broker.Report(c.ctx, id, job.Result{Status: status})
				}
				c.note()
				_, err := c.broker.Cancel(c.ctx, id, "")
				c.must(err)
				_, err = c.broker.Job(c.ctx, id)
				c.must(err)
				event, err := c.broker.Await(c.ctx, id, longWait)
				if err != nil || event == nil {
					c.t.Fatal(event, err)
				}
			}
		},
		"states": func(c *commands) {
			c.must(c.broker.SetState(c.ctx, "large", largeFields, ""))
			for i := range state.MaxFields / job.MaxFields {
				fields := make(map[string]string)
				for n := range job.MaxFields {
					fields[fmt.Sprintf("field-%06d", i*job.MaxFields+n)] = strings.Repeat("x", 700)
				}
				c.must(c.broker.SetState(c.ctx, "many", fields, ""))
			}
			c.fatHash(c.t, "bytes", 100, 1<<20)
			c.fatHash(c.t, "fields", 200_000, 100)
			for _, id := range []string{"large", "many", "bytes", "fields"} {
				c.note()
				_ = c.broker.SetState(c.ctx, id, map[string]string{"a": strings.Repeat("x", 1<<20)}, "")
				c.note()
				_ = c.broker.SetState(c.ctx, id, map[string]string{"small": "x"}, "")
				c.note()
				_, _ = c.broker.State(c.ctx, id, nil)
				c.note()
				_, err := c.broker.State(c.ctx, id, []string{"a", "field-000001"})
				c.must(err)
				_, err = c.broker.InitState(c.ctx, state.InitRequest{JobID: id, OnConflict: state.ConflictKeep, InitialState: job.InitialState{Fields: largeFields}})
				c.must(err)
				w, err := c.broker.WatchFrames(id, watch.Options{State: true})
				c.must(err)
				for seen := false; !seen; {
					frame, err := w.Next(c.ctx, longWait)
					if err != nil || frame == nil {
						c.t.Fatal(frame, err)
					}
					seen = frame.State != nil
				}
				w.Close()
			}
		},
		"watch many jobs": func(c *commands) {
			all := c.broker.Watches()
			defer all.Close()
			const jobs = 2000
			for i := range jobs {
				c.must(all.Add(fmt.Sprint("job-", i), watch.Options{State: true}))
			}
			for at := 0; at < jobs; at += 100 {
				_, err := c.raw.Pipelined(c.ctx, func(p goredis.Pipeliner) error {
					for i := range 100 {
						p.HSet(c.ctx, c.key(fmt.Sprint("job_state:job-", at+i)), "x", strings.Repeat("x", 1000))
						p.XAdd(c.ctx, entry(c.key(fmt.Sprint("argus_completion:job-", at+i)), "status", "completed", "x", strings.Repeat("x", 1000)))
					}
					return nil
				})
				c.must(err)
			}
			for done := 0; done < jobs; {
				frame, err := all.Next(c.ctx, longWait)
				if err != nil || frame == nil || frame.Err != nil {
					c.t.Fatal(frame, err)
				}
				if frame.Done {
					done++
				}
			}
		},
		"look and clean up": func(c *commands) {
			c.publishMany("", job.MaxBatch, 4<<10, 0)
			c.publishMany("", job.MaxBatch, 4<<10, time.Hour)
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "waiting"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "delayed"}, Delay: time.Hour})
			c.readAll("", job.MaxBatch/2)
			for _, id := range []string{"waiting", "delayed", "nowhere"} {
				_, _ = c.broker.Cancel(c.ctx, id, "")
				_, _ = c.broker.Job(c.ctx, id)
			}
			_, err := c.broker.Pending(c.ctx, "", "", "", job.MaxBatch)
			c.must(err)
			_, _, err = c.broker.Queues(c.ctx, "", 100)
			c.must(err)
			_, _, err = c.broker.ListJobs(c.ctx, "", job.MaxBatch)
			c.must(err)
			c.must(c.broker.Clean(c.ctx))
			c.must(c.broker.Dismiss(c.ctx, job.DefaultQueue, 0))
			_, err = c.broker.Purge(c.ctx, "")
			c.must(err)
		},
	}
}
