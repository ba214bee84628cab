package redis_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// startLate is a raw worker's start as existing workers do it: the group begins behind what is
// in the stream, unless it exists already.
func (b *bundle) startLate(t *testing.T, queue string) {
	t.Helper()
	err := b.raw.XGroupCreateMkStream(b.ctx, b.key(queue), redis.DefaultGroup, "$").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		t.Fatal(err)
	}
}

// rawRead is a raw worker's read of all there is, as the jobs' ids.
func (b *bundle) rawRead(t *testing.T, queue, group string) []string {
	t.Helper()
	var jobs []string
	for {
		streams, err := b.raw.XReadGroup(b.ctx, groupRead(b.key(queue), group, 100)).Result()
		if err != nil || len(streams) == 0 {
			return jobs
		}
		for _, m := range streams[0].Messages {
			jobs = append(jobs, fmt.Sprint(m.Values["job_id"]))
		}
	}
}

// A raw worker that starts after a task was published gets the task, in whatever way it was
// published, also when the queue's stream was deleted before.
func TestRawWorkerThatStartsLateMissesNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{
			"fair": {FairBy: redis.FairByOrganization, FairAhead: 10}, "unique": {UniqueJobs: true}, "bounded": {MaxLength: 10}}})
		task := func(job string) redis.Task { return redis.Task{JobID: job} }
		one := func(queue, job, request string, state *redis.InitialState) error {
			_, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: queue, RequestID: request}, Task: task(job), State: state})
			return err
		}
		ways := map[string]func(job string) error{
			"plain":   func(job string) error { return one("plain", job, "", nil) },
			"state":   func(job string) error { return one("state", job, "", &redis.InitialState{}) },
			"request": func(job string) error { return one("request", job, job, nil) },
			"fair":    func(job string) error { return one("fair", job, "", nil) },
			"unique":  func(job string) error { return one("unique", job, "", nil) },
			"bounded": func(job string) error { return one("bounded", job, "", nil) },
			"batch": func(job string) error {
				_, _, err := b.broker.PublishBatch(b.ctx, redis.PublishBatchRequest{PublishOptions: redis.PublishOptions{Queue: "batch"}, Tasks: []redis.Task{task(job), task(job + "+")}})
				return err
			},
			"delayed": func(job string) error {
				_, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: "delayed"}, Task: task(job), Delay: time.Millisecond})
				if err == nil {
					await(t, b.ctx, func() bool {
						return b.broker.MoveDue(b.ctx) == nil && b.raw.XLen(b.ctx, b.key("delayed")).Val() == 1
					})
				}
				return err
			},
			"redriven": func(job string) error {
				if err := one("redriven", job, "", nil); err != nil {
					return err
				}
				d, err := b.broker.Read(b.ctx, redis.ReadRequest{Queue: "redriven", Consumer: "w", Max: 1})
				if err != nil || len(d) != 1 {
					return fmt.Errorf("%d deliveries: %w", len(d), err)
				}
				if err := b.nack(redis.NackRequest{Token: d[0].Lease.Token(), DeadLetter: true}); err != nil {
					return err
				}
				b.raw.Del(b.ctx, b.key("redriven"))
				_, err = b.broker.Redrive(b.ctx, "redriven", true, nil)
				return err
			},
		}
		for queue, publish := range ways {
			for _, job := range []string{queue + "-first", queue + "-after-deletion"} {
				if err := publish(job); err != nil {
					t.Fatal(queue, err)
				}
				b.startLate(t, queue)
				want := []string{job}
				if queue == "batch" {
					want = append(want, job+"+")
				}
				if got := b.rawRead(t, queue, redis.DefaultGroup); !slices.Equal(got, want) {
					t.Errorf("%s: the late worker got %v, want %v", queue, got, want)
				}
				b.raw.Del(b.ctx, b.key(queue))
			}
		}
	})
}

// A stream without any group, as a raw producer leaves it, gets the default group with the
// first publish.
func TestFirstPublishCreatesTheGroupOfAnExistingStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		b.raw.XAdd(b.ctx, entry(b.key(redis.DefaultQueue), "job_id", "raw"))
		b.publish(t, redis.Task{JobID: "ours"})
		b.startLate(t, redis.DefaultQueue)
		if got := b.rawRead(t, redis.DefaultQueue, redis.DefaultGroup); !slices.Equal(got, []string{"raw", "ours"}) {
			t.Error(got)
		}
	})
}

// Where workers have a group of another name, no default group is made.
func TestPublishLeavesAnotherGroupAlone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		b.raw.XGroupCreateMkStream(b.ctx, b.key(redis.DefaultQueue), "legacy", "$")
		b.publish(t, redis.Task{JobID: "job"})
		if groups := b.raw.XInfoGroups(b.ctx, b.key(redis.DefaultQueue)).Val(); len(groups) != 1 || groups[0].Name != "legacy" {
			t.Error(groups)
		}
	})
}

// rawWork reads all there is as a raw worker, and acknowledges it, without deleting.
func (b *bundle) rawWork(t *testing.T, queue, group string) []string {
	t.Helper()
	jobs := b.rawRead(t, queue, group)
	for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(queue), group)).Val() {
		b.raw.XAck(b.ctx, b.key(queue), group, p.ID)
	}
	return jobs
}

// Where workers have another group than the default one, the default group that the first
// publish makes keeps nothing.
func TestUnusedDefaultGroupKeepsNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Groups: redis.Groups{redis.AnyGroup}}})
		key := b.key(redis.DefaultQueue)
		left := func(when string, want int64) {
			t.Helper()
			if got := b.raw.XLen(b.ctx, key).Val(); got != want {
				t.Errorf("%s: %d entries are left, want %d", when, got, want)
			}
		}
		b.publish(t, redis.Task{JobID: "first"})
		if groups := b.raw.XInfoGroups(b.ctx, key).Val(); len(groups) != 1 || groups[0].Name != redis.DefaultGroup {
			t.Fatal("the first publish makes the default group:", groups)
		}
		// gRPC workers of another group: what they settle is deleted at once.
		read := func(group string) []redis.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, redis.ReadRequest{Group: group, Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := read("scanners"); len(d) != 1 {
			t.Fatal(d)
		} else if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), redis.Result{Status: redis.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		left("completed by another group", 0)

		// Raw workers of another group: what they acknowledge is removed by the cleaner.
		for i := range 20 {
			b.publish(t, redis.Task{JobID: fmt.Sprint("job-", i)})
		}
		b.rawWork(t, redis.DefaultQueue, "scanners")
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 0 {
			t.Errorf("%d tasks wait, and all were delivered to the only group in use; %v", q.Waiting, err)
		}
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		left("acknowledged by a raw worker of another group", 0)
		if n := b.broker.WaitStats().UnseenRemoved; n != 0 {
			t.Error(n, "removed entries are said not to have been given to a consumer")
		}

		// Once a worker has read with it, the default group gets each task.
		b.publish(t, redis.Task{JobID: "both"})
		if d := read(redis.DefaultGroup); len(d) != 1 {
			t.Fatal(d)
		}
		b.rawWork(t, redis.DefaultQueue, "scanners")
		if err := b.broker.Clean(b.ctx); err != nil {
			t.Fatal(err)
		}
		left("the default group has not settled it", 1)
	})
}

// Entries that lie before the beginning of every group in use were given to no consumer: the
// cleaner says so when it removes them.
func TestCleanerTellsWhatNoConsumerWasGiven(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		log := &logged{}
		b := setup(t, e, redis.BrokerConfig{Logger: newLog(log)})
		const warning = "no consumer is known to have been given"
		clean := func(when string, left, unseen int64) {
			t.Helper()
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
			if got := b.raw.XLen(b.ctx, b.key(redis.DefaultQueue)).Val(); got != left {
				t.Errorf("%s: %d entries are left, want %d", when, got, left)
			}
			if got := b.broker.WaitStats().UnseenRemoved; got != unseen {
				t.Errorf("%s: %d counted, want %d", when, got, unseen)
			}
			if log.has(warning) != (unseen > 0) {
				t.Errorf("%s: the log's warning is there: %t", when, log.has(warning))
			}
		}
		for i := range 3 {
			b.publish(t, redis.Task{JobID: fmt.Sprint("missed-", i)})
		}
		// A raw worker starts late, with a group of another name.
		b.raw.XGroupCreateMkStream(b.ctx, b.key(redis.DefaultQueue), "legacy", "$")
		clean("no worker reads", 3, 0)
		b.publish(t, redis.Task{JobID: "held"})
		if got := b.rawRead(t, redis.DefaultQueue, "legacy"); !slices.Equal(got, []string{"held"}) {
			t.Fatal(got)
		}
		clean("a worker has read behind them", 1, 3)
		b.publish(t, redis.Task{JobID: "seen"})
		if got := b.rawWork(t, redis.DefaultQueue, "legacy"); !slices.Equal(got, []string{"seen"}) {
			t.Fatal(got)
		}
		clean("all is acknowledged", 0, 3)
	})
}

// What raw peers acknowledged and left in the stream does not wait for anyone.
func TestWhatRawPeersAcknowledgedDoesNotWait(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		for i := range 10 {
			b.publish(t, redis.Task{JobID: fmt.Sprint("job-", i)})
		}
		held := b.readOne(t, "w") // keeps the cleaner from removing what lies behind it
		b.rawRead(t, redis.DefaultQueue, redis.DefaultGroup)
		for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(redis.DefaultQueue), redis.DefaultGroup)).Val()[1:8] {
			b.raw.XAck(b.ctx, b.key(redis.DefaultQueue), redis.DefaultGroup, p.ID)
		}
		b.publish(t, redis.Task{JobID: "next"})
		q, err := b.broker.Queue(b.ctx, "")
		if err != nil || q.Waiting != 1 || q.Leased != 3 || len(q.Groups) != 1 || q.Groups[0].Waiting != 1 {
			t.Errorf("%+v %v, want 1 waiting and 3 leased", q, err)
		}
		for job, want := range map[string]redis.Where{held.Task.JobID: redis.WhereLeased, "job-3": redis.WhereNowhere, "job-9": redis.WhereLeased, "next": redis.WhereWaiting} {
			b.raw.HSet(b.ctx, b.key("job_state:"+job), "f", "v")
			if info, err := b.broker.Job(b.ctx, job); err != nil || info.Place.Where != want {
				t.Errorf("%s is %q %v, want %q", job, info.Place.Where, err, want)
			}
		}
		// A purge ends only jobs whose tasks were still to be done.
		purged, err := b.broker.Purge(b.ctx, "")
		if err != nil || purged.Waiting != 1 || purged.Leased != 3 {
			t.Errorf("%+v %v, want 1 waiting and 3 leased", purged, err)
		}
		b.events(t, "job-3")
		b.events(t, "next", "cancelled")
	})
}

// More than is counted one by one is removed before it is counted.
func TestWaitingIsExactBesideManyLeftovers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		tasks := make([]redis.Task, redis.MaxBatch)
		for i := range tasks {
			tasks[i].JobID = fmt.Sprint("job-", i)
		}
		for range 3 {
			if _, _, err := b.broker.PublishBatch(b.ctx, redis.PublishBatchRequest{Tasks: tasks}); err != nil {
				t.Fatal(err)
			}
		}
		for len(b.rawWork(t, redis.DefaultQueue, redis.DefaultGroup)) > 0 || b.pending(t) > 0 {
		}
		b.publish(t, redis.Task{JobID: "next"})
		if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting != 1 {
			t.Errorf("%d wait, want 1; %v", q.Waiting, err)
		}
	})
}

// Names that begin with "argus_" and are none of the service's own are fields like any: the
// existing workers' main state field is one of them.
func TestForeignFieldsWithOurPrefixAreCarried(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{RetryMin: time.Millisecond}})
		const name = "argus_status"
		b.raw.HSet(b.ctx, b.key("job_state:job"), name, "scanning", "argus_parts", "own")
		state, err := b.broker.State(b.ctx, "job", nil)
		if err != nil || state.Fields[name] != "scanning" || len(state.Fields) != 1 {
			t.Error(state, err)
		}
		if err := b.broker.SetState(b.ctx, "job", map[string]string{name: "done"}, ""); err != nil {
			t.Error(err)
		}
		for _, own := range []string{"argus_parts", "argus_part:x", "argus_lease", "argus_attempt"} {
			if err := b.broker.SetState(b.ctx, "job", map[string]string{own: "x"}, ""); !errors.Is(err, redis.ErrInvalid) {
				t.Errorf("%s: %v", own, err)
			}
		}
		// A task keeps such a field through a retry, a death and a redrive, and an event has it.
		b.publish(t, redis.Task{JobID: "task", Attributes: map[string]string{name: "queued"}})
		d := b.readOne(t, "w")
		for _, dead := range []bool{false, true} {
			if d.Task.Attributes[name] != "queued" {
				t.Fatal(d.Task)
			}
			if err := b.nack(redis.NackRequest{Token: d.Lease.Token(), DeadLetter: dead, Reason: "why"}); err != nil {
				t.Fatal(err)
			}
			if dead {
				if _, err := b.broker.Redrive(b.ctx, "", true, nil); err != nil {
					t.Fatal(err)
				}
			}
			d = b.readOne(t, "w")
		}
		if d.Task.Attributes[name] != "queued" {
			t.Fatal(d.Task)
		}
		result := redis.Result{Status: redis.StatusCompleted, Fields: map[string]string{name: "done"}}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), result); err != nil {
			t.Fatal(err)
		}
		if event, err := b.broker.Await(b.ctx, "task", 0); err != nil || event.Fields[name] != "done" {
			t.Error(event, err)
		}
	})
}

// A raw worker that appends its completion and leaves the state as it was has ended the job:
// every read says so at once, and the stored status follows.
func TestStateFollowsARawCompletion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		seen := map[string]func(t *testing.T, b *bundle, job string) redis.Status{
			"State": func(t *testing.T, b *bundle, job string) redis.Status {
				state, err := b.broker.State(b.ctx, job, nil)
				if err != nil || state.Fields["status"] != string(state.Status) || state.Fields["trivy"] != "1" {
					t.Error(state, err)
				}
				return state.Status
			},
			"State of some fields": func(t *testing.T, b *bundle, job string) redis.Status {
				state, err := b.broker.State(b.ctx, job, []string{"status"})
				if err != nil || len(state.Fields) != 1 {
					t.Error(state, err)
				}
				return redis.Status(state.Fields["status"])
			},
			"StateField": func(t *testing.T, b *bundle, job string) redis.Status {
				status, err := b.broker.StateField(b.ctx, job, "status")
				if err != nil {
					t.Error(err)
				}
				return redis.Status(status)
			},
			"ListJobs": func(t *testing.T, b *bundle, job string) redis.Status {
				jobs, _, err := b.broker.ListJobs(b.ctx, "", 1000)
				if err != nil {
					t.Error(err)
				}
				for _, j := range jobs {
					if j.JobID == job {
						return j.Status
					}
				}
				return ""
			},
			"Job": func(t *testing.T, b *bundle, job string) redis.Status {
				info, err := b.broker.Job(b.ctx, job)
				if err != nil {
					t.Error(err)
				}
				return info.Status
			},
			"Watch": func(t *testing.T, b *bundle, job string) redis.Status {
				w, snapshot, err := b.broker.Watch(b.ctx, job, "")
				if err != nil {
					t.Fatal(err)
				}
				w.Close()
				return snapshot.Status
			},
		}
		for name, read := range seen {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				for encoding, completion := range map[string][]any{
					"fields":            {"job_id", "job", "status", "failed", "completed_at", "1700000000"},
					"json":              {"data", `{"job_id":"job","status":"failed","completed_at":"2023-11-14T22:13:20Z","results":{"a":1}}`},
					"with progress too": {"status", "failed", "completed_at", "1700000000"},
				} {
					b := setup(t, e, redis.BrokerConfig{})
					job := strings.ReplaceAll(name+encoding, " ", "-")
					b.raw.HSet(b.ctx, b.key("job_state:"+job), "status", "running", "trivy", "1")
					if encoding == "with progress too" {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+job), "status", "running"))
					}
					b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+job), completion...))
					if got := read(t, b, job); got != redis.StatusFailed {
						t.Errorf("%s: %q, want failed", encoding, got)
					}
					await(t, b.ctx, func() bool { return b.hash(t, "job_state:"+job)["status"] == "failed" })
					if at := b.hash(t, "job_state:"+job)["completed_at"]; at != "1700000000" {
						t.Errorf("%s: completed at %q", encoding, at)
					}
				}
			})
		}
	})
}

// A watch that is live when the raw worker reports has the stored status corrected, too.
func TestLiveWatchCorrectsTheState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		w, snapshot, err := b.broker.Watch(b.ctx, "job", "")
		if err != nil || snapshot.Status != redis.StatusRunning {
			t.Fatal(snapshot, err)
		}
		defer w.Close()
		b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", "completed"))
		if event, err := w.Next(b.ctx, time.Minute); err != nil || event == nil || event.Status != redis.StatusCompleted {
			t.Fatal(event, err)
		}
		await(t, b.ctx, func() bool { return b.hash(t, "job_state:job")["status"] == "completed" })
	})
}

// A status is corrected by the job's result, the first terminal event, whatever raw peers append
// behind it. One that was withdrawn does not come back.
func TestStatusIsCorrectedByTheFirstResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, redis.BrokerConfig{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		heal := func(job, want string) {
			t.Helper()
			if err := b.broker.Heal(b.ctx, job); err != nil {
				t.Fatal(err)
			}
			if status := b.hash(t, "job_state:"+job)["status"]; status != want {
				t.Errorf("%s: %q, want %q", job, status, want)
			}
		}
		append := func(status string) string {
			return b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", status)).Val()
		}
		b.raw.XDel(b.ctx, b.key("argus_completion:job"), append("failed"))
		heal("job", "running")
		append("completed")
		append("failed")
		heal("job", "completed")
		heal("none", "")
		if len(b.hash(t, "job_state:none")) != 0 {
			t.Error("a state was made")
		}
	})
}

// In the JSON form, attributes that existing workers parse as numbers are numbers, and what a
// raw peer wrote as a number, boolean, array or object stays that on every way a task can take.
func TestJSONValuesKeepTheirTypes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		json := redis.QueueConfig{Encoding: redis.EncodingJSON, JSONNumbers: []string{"priority"}}
		fair := json
		fair.FairBy = redis.FairByOrganization
		b := setup(t, e, redis.BrokerConfig{Queues: map[string]redis.QueueConfig{"json": json, "fair": fair}})
		publish := func(queue string, delay time.Duration) {
			t.Helper()
			_, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{PublishOptions: redis.PublishOptions{Queue: queue}, Delay: delay,
				Task: redis.Task{JobID: "job", CreatedAt: time.Unix(1700000000, 0), TimeoutSeconds: 60,
					Attributes: map[string]string{"retry_count": "3", "ttl_seconds": "-1", "priority": "0.5", "version": "7", "build": "007", "ref": "1 "}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		data := func(queue string) string {
			t.Helper()
			entries := b.stream(t, queue)
			if len(entries) != 1 {
				t.Fatalf("%d entries in %s", len(entries), queue)
			}
			return fmt.Sprint(entries[0].Values["data"])
		}
		read := func(queue string) redis.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, redis.ReadRequest{Queue: queue, Consumer: "w", Wait: time.Minute})
			if err != nil || len(d) != 1 {
				t.Fatal(d, err)
			}
			return d[0]
		}
		const ours = `{"build":"007","created_at":"2023-11-14T22:13:20Z","gcs_uri":"","job_id":"job","organization_id":"","priority":0.5,"ref":"1 ",` +
			`"report_id":"","retry_count":3,"scanners":[],"timeout_seconds":60,"ttl_seconds":-1,"version":"7"}`
		const theirs = `{"job_id":"job", "retry_count":0, "ttl_seconds":3600, "urgent":true, "limits":{"cpu":1.50}, "tags":["a",1,null], "big":12345678901234567890}`
		for _, c := range []struct{ queue, want string }{{"json", ours}, {"fair", ours}, {"json", theirs}, {"fair", theirs}} {
			if c.want == ours {
				publish(c.queue, 0)
			} else {
				b.raw.XAdd(b.ctx, entry(b.key(c.queue), "data", theirs))
			}
			check := func(when string) {
				t.Helper()
				if got := data(c.queue); got != c.want {
					t.Errorf("%s, %s:\n%s, want\n%s", c.queue, when, got, c.want)
				}
			}
			d := read(c.queue)
			check("published")
			nack := func(r redis.NackRequest) {
				t.Helper()
				r.Token = d.Lease.Token()
				if err := b.nack(r); err != nil {
					t.Fatal(err)
				}
			}
			nack(redis.NackRequest{Delay: new(time.Duration)})
			d = read(c.queue)
			check("given back")
			nack(redis.NackRequest{Delay: new(time.Millisecond)})
			d = read(c.queue)
			check("given back with a delay")
			nack(redis.NackRequest{DeadLetter: true})
			if letters := b.stream(t, "argus_dead:"+c.queue); len(letters) != 1 || letters[0].Values["data"] != c.want {
				t.Errorf("dead letter %v", letters)
			}
			if _, err := b.broker.Redrive(b.ctx, c.queue, true, nil); err != nil {
				t.Fatal(err)
			}
			d = read(c.queue)
			check("redriven")
			if _, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil {
				t.Fatal(err)
			}
		}
		publish("json", time.Millisecond)
		read("json")
		if got := data("json"); got != ours {
			t.Errorf("published with a delay:\n%s", got)
		}
	})
}

// A raw worker that has been in production for a year, command by command, beside the service's
// own workers in the same group: each task is done once, and state and result agree.
func TestRawWorkerBesideTheService(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, encoding := range []redis.Encoding{redis.EncodingFields, redis.EncodingJSON} {
			t.Run(string(encoding), func(t *testing.T) {
				t.Parallel()
				b := setup(t, redistest.Engine{Name: e.Name, Addr: e.Addr, Prefix: e.Prefix + string(encoding) + ":"}, redis.BrokerConfig{Queue: redis.QueueConfig{Encoding: encoding}})
				key := b.key(redis.DefaultQueue)
				jobs := make(map[string]string) // by whom they were done
				for i := range 20 {
					job := fmt.Sprint("job-", i)
					jobs[job] = ""
					if _, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{Task: redis.Task{JobID: job}, State: &redis.InitialState{}}); err != nil {
						t.Fatal(err)
					}
				}
				b.startLate(t, redis.DefaultQueue)
				for range 10 {
					streams, err := b.raw.XReadGroup(b.ctx, groupRead(key, redis.DefaultGroup, 1)).Result()
					if err != nil {
						t.Fatal(err)
					}
					m := streams[0].Messages[0]
					task, err := redis.DecodeTask(values(m))
					if _, isJSON := m.Values["data"]; err != nil || isJSON != (encoding == redis.EncodingJSON) {
						t.Fatal(m, err)
					}
					jobs[task.JobID] += "raw"
					b.raw.HSet(b.ctx, b.key("job_state:"+task.JobID), "argus_status", "scanned")
					if encoding == redis.EncodingJSON {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "data",
							fmt.Sprintf(`{"job_id":%q,"status":"completed","completed_at":"2026-01-02T03:04:05Z","results":{"findings":3}}`, task.JobID)))
					} else {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "job_id", task.JobID, "status", "completed", "findings", "3"))
					}
					b.raw.XAck(b.ctx, key, redis.DefaultGroup, m.ID)

					d := b.readOne(t, "ours")
					jobs[d.Task.JobID] += "ours"
					if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), redis.Result{Status: redis.StatusCompleted, Fields: map[string]string{"findings": "3"}}); err != nil {
						t.Fatal(err)
					}
				}
				for job, by := range jobs {
					state, err := b.broker.State(b.ctx, job, nil)
					if by != "raw" && by != "ours" || err != nil || state.Status != redis.StatusCompleted || (state.Fields["argus_status"] == "scanned") != (by == "raw") {
						t.Errorf("%s, done by %q: %v %v", job, by, state, err)
					}
					if event, err := b.broker.Await(b.ctx, job, 0); err != nil || event == nil || event.Status != redis.StatusCompleted || event.Fields["findings"] != "3" {
						t.Errorf("%s: %v %v", job, event, err)
					}
					if info, err := b.broker.Job(b.ctx, job); err != nil || info.Place.Where != redis.WhereNowhere || info.Result == nil {
						t.Errorf("%s: %+v %v", job, info, err)
					}
				}
				if q, err := b.broker.Queue(b.ctx, ""); err != nil || q.Waiting+q.Leased+q.Dead != 0 {
					t.Errorf("%+v %v", q, err)
				}
				if err := b.broker.Clean(b.ctx); err != nil || b.raw.XLen(b.ctx, key).Val() != 0 || b.broker.WaitStats().UnseenRemoved != 0 {
					t.Error("the cleaner left entries, or says that some were not given to a consumer", err)
				}
			})
		}
	})
}
