package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// commandBar is how long one command may block Redis.
const commandBar = 50 * time.Millisecond

// TestNoCommandBlocksRedis does everything that a broker can be asked for at the contract's
// limits, in sizes and counts, and with more than that by raw peers. No command that it sends
// takes Redis longer than commandBar. On a busy machine a scenario gets more than one try, and
// of each kind of command the best counts. It is not parallel, to be alone.
func TestNoCommandBlocksRedis(t *testing.T) {
	server := redistest.Own(t, "--slowlog-max-len", "100000")
	mib := strings.Repeat("x", 1<<20)
	large := map[string]string{"a": mib, "b": mib, "c": mib[:1<<20-4096]}
	many := make(map[string]string)
	for i := range job.MaxFields {
		many[fmt.Sprintf("field-%03d", i)] = strings.Repeat("x", 4<<10)
	}
	const most = job.MaxBatch
	token := func(d queue.Delivery) string { return d.Lease.Token() }
	for name, scenario := range map[string]func(c *commands){
		"publish large": func(c *commands) {
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "a", Attributes: large}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "b", Attributes: many}, State: &job.InitialState{Fields: many}, PublishOptions: queue.PublishOptions{RequestID: "r"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "c", Attributes: large}, Delay: time.Hour})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "d", Attributes: many}, PublishOptions: queue.PublishOptions{Queue: "fair"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "d", Attributes: many}, PublishOptions: queue.PublishOptions{Queue: "unique"}})
		},
		"publish many": func(c *commands) {
			for _, queueName := range []string{"", "fair", "unique"} {
				c.publishMany(queueName, most, 4<<10, 0)
				c.publishMany(queueName, most, 4<<10, time.Hour)
			}
		},
		"read, extend and complete large": func(c *commands) {
			for i := range 12 {
				c.publish(queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint(i), Attributes: large}})
			}
			for done := 0; done < 12; {
				for _, d := range c.read("", most) {
					_, err := c.broker.Extend(c.ctx, token(d), large)
					c.must(err)
					_, err = c.broker.Complete(c.ctx, token(d), job.Result{Status: job.StatusCompleted, Fields: many})
					c.must(err)
					done++
				}
			}
		},
		"settle many": func(c *commands) {
			for round := range 5 {
				c.publishMany("", most, 100, 0)
				deliveries := c.readAll("", most)
				var tokens []string
				var completions []result.Completion
				for _, d := range deliveries {
					tokens = append(tokens, token(d))
					completions = append(completions, result.Completion{Token: token(d), Result: job.Result{Status: job.StatusCompleted, Fields: map[string]string{"x": strings.Repeat("x", 2<<10)}}})
				}
				var err error
				switch round {
				case 0:
					_, err = c.broker.Ack(c.ctx, tokens)
				case 1:
					_, err = c.broker.CompleteBatch(c.ctx, completions)
				case 2:
					c.broker.Release(c.ctx, deliveries)
				case 3, 4: // their leases run out
					for _, d := range deliveries {
						c.expire(c.t, d.Lease)
					}
					c.readAll("", most)
				}
				c.must(err)
				_, err = c.broker.Read(c.ctx, queue.ReadRequest{Consumer: "w", Max: most, OwnPending: true})
				c.must(err)
			}
		},
		"return": func(c *commands) {
			for i := range 6 {
				c.publish(queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint(i), Attributes: large}})
			}
			for i, d := range c.readAll("", 6) {
				r := queue.NackRequest{Token: token(d), Reason: strings.Repeat("x", job.MaxReasonBytes)}
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
			_, err := c.broker.DeadLetters(c.ctx, "", "", most)
			c.must(err)
			_, err = c.broker.Redrive(c.ctx, "", true, nil)
			c.must(err)
		},
		"delayed": func(c *commands) {
			c.publishMany("", most, 4<<10, time.Hour)
			c.publishMany("fair", most, 4<<10, time.Hour)
			fair := c.key("argus_delayed:fair")
			for _, member := range c.raw.ZRange(c.ctx, fair, 0, -1).Val() {
				c.raw.ZAdd(c.ctx, fair, score(1, member))
			}
			c.travel(c.t)
			for c.raw.ZCard(c.ctx, fair).Val() > 0 {
				c.must(c.broker.MoveDue(c.ctx))
			}
			c.readAll("", most)
			c.readAll("fair", most)
		},
		"reports": func(c *commands) { // 8 MiB of events, then many
			for i := range 20 {
				_, err := c.broker.Report(c.ctx, "large", job.Result{Status: job.StatusRunning, Fields: large})
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
					_, err := c.broker.Report(c.ctx, id, job.Result{Status: job.StatusCompleted, Fields: large})
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
			c.must(c.broker.SetState(c.ctx, "large", large, ""))
			for i := range state.MaxStateFields / job.MaxFields {
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
				_ = c.broker.SetState(c.ctx, id, map[string]string{"a": mib}, "")
				c.note()
				_ = c.broker.SetState(c.ctx, id, map[string]string{"small": "x"}, "")
				c.note()
				_, _ = c.broker.State(c.ctx, id, nil)
				c.note()
				_, err := c.broker.State(c.ctx, id, []string{"a", "field-000001"})
				c.must(err)
				_, err = c.broker.InitState(c.ctx, state.InitRequest{JobID: id, OnConflict: state.ConflictKeep, InitialState: job.InitialState{Fields: large}})
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
			c.publishMany("", most, 4<<10, 0)
			c.publishMany("", most, 4<<10, time.Hour)
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "waiting"}})
			c.publish(queue.PublishRequest{Task: job.Task{JobID: "delayed"}, Delay: time.Hour})
			c.readAll("", most/2)
			for _, id := range []string{"waiting", "delayed", "nowhere"} {
				_, _ = c.broker.Cancel(c.ctx, id, "")
				_, _ = c.broker.Job(c.ctx, id)
			}
			_, err := c.broker.Pending(c.ctx, "", "", "", most)
			c.must(err)
			_, _, err = c.broker.Queues(c.ctx, "", 100)
			c.must(err)
			_, _, err = c.broker.ListJobs(c.ctx, "", most)
			c.must(err)
			c.must(c.broker.Clean(c.ctx))
			c.must(c.broker.Dismiss(c.ctx, job.DefaultQueue, 0))
			_, err = c.broker.Purge(c.ctx, "")
			c.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			const tries = 6
			best := make(map[string]slow)
			for try := range tries {
				b := setup(t, server.Engine(), job.Settings{Queues: map[string]job.QueueSettings{"fair": {FairBy: job.FairByOrganization}, "unique": {UniqueJobs: true}}})
				b.raw.ConfigSet(b.ctx, "slowlog-log-slower-than", "2000")
				b.raw.SlowLogReset(b.ctx)
				c := &commands{bundle: b, t: t, slowest: make(map[string]slow), last: b.used(t)}
				scenario(c)
				c.note()
				found := c.slowest
				for kind, s := range best { // a command that is not in the log was fast
					if found[kind].duration < s.duration {
						best[kind] = found[kind]
					}
				}
				if try == 0 {
					best = found
				}
				b.broker.Close()
				b.raw.FlushAll(b.ctx)
				if !slices.ContainsFunc(slices.Collect(maps.Values(best)), slow.isTooSlow) {
					break
				}
			}
			for kind, s := range best {
				t.Log(kind, s)
				if s.isTooSlow() {
					t.Errorf("one command blocks Redis for %s, want at most "+commandBar.String()+": %s", s.duration, s.command)
				}
			}
		})
	}
}

// commands is a broker and what its commands cost Redis.
type commands struct {
	*bundle
	t *testing.T
	// slowest is the slowest command of each kind: of each script, and of each other command by name.
	slowest map[string]slow
	last    time.Duration // the processor time that Redis had used at the last note
}

// must ends an operation that has to succeed.
func (c *commands) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
	c.note()
}

// note records the commands since the last note, except those that the test itself sent. The slow log has
// elapsed times, during which other processes may have had the processor: each command is taken to have
// had the same share of its own time as Redis had of the time of all of them.
func (c *commands) note() {
	c.t.Helper()
	used := c.used(c.t) - c.last
	log, err := c.raw.SlowLogGet(c.ctx, 100_000).Result()
	if err != nil {
		c.t.Fatal(err)
	}
	var elapsed time.Duration
	for _, e := range log {
		elapsed += e.Duration
	}
	share := min(1, float64(used)/max(1, float64(elapsed)))
	for _, e := range log {
		kind := strings.ToLower(e.Args[0])
		switch kind {
		case "flushall", "hset", "xadd", "slowlog", "config":
			continue
		case "evalsha", "eval":
			kind = broker.ScriptName(e.Args[1])
		}
		if duration := time.Duration(share * float64(e.Duration)); duration > c.slowest[kind].duration {
			command := strings.Join(e.Args[:min(len(e.Args), 5)], " ")
			c.slowest[kind] = slow{duration, command[:min(len(command), 120)]}
		}
	}
	if len(log) > 0 {
		c.raw.SlowLogReset(c.ctx)
	}
	c.last = c.used(c.t)
}

func (c *commands) publish(r queue.PublishRequest) {
	c.t.Helper()
	_, _, err := c.broker.Publish(c.ctx, r)
	c.must(err)
}

// publishMany publishes tasks in one batch, or each by itself if it is delayed.
func (c *commands) publishMany(name string, n, bytes int, delay time.Duration) {
	c.t.Helper()
	options := queue.PublishOptions{Queue: name}
	tasks := make([]job.Task, n)
	for i := range tasks {
		tasks[i] = job.Task{OrganizationID: fmt.Sprint("org-", i%100), Attributes: map[string]string{"x": strings.Repeat("x", bytes)}}
		if delay > 0 {
			c.publish(queue.PublishRequest{PublishOptions: options, Task: tasks[i], Delay: delay})
		}
	}
	if delay == 0 {
		_, _, err := c.broker.PublishBatch(c.ctx, queue.PublishBatchRequest{PublishOptions: options, Tasks: tasks})
		c.must(err)
	}
}

func (c *commands) read(name string, most int) []queue.Delivery {
	c.t.Helper()
	c.note()
	deliveries, err := c.broker.Read(c.ctx, queue.ReadRequest{Queue: name, Consumer: "w", Max: most, Wait: longWait})
	c.must(err)
	return deliveries
}

func (c *commands) readAll(name string, n int) (all []queue.Delivery) {
	c.t.Helper()
	for len(all) < n {
		deliveries := c.read(name, n-len(all))
		if len(deliveries) == 0 {
			c.t.Fatal(len(all), "deliveries, want", n)
		}
		all = append(all, deliveries...)
	}
	return all
}

// slow is a command and its duration.
type slow struct {
	duration time.Duration
	command  string
}

func (s slow) isTooSlow() bool { return s.duration > commandBar }

// used is the processor time that Redis has used.
func (b *bundle) used(t *testing.T) (used time.Duration) {
	t.Helper()
	for _, match := range usedTime.FindAllStringSubmatch(b.raw.Info(b.ctx, "cpu").Val(), -1) {
		seconds, _ := strconv.ParseFloat(match[1], 64)
		used += time.Duration(seconds * float64(time.Second))
	}
	return used
}
