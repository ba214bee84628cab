package broker_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// startLate is a raw worker's start as existing workers do it: the group begins behind what is
// in the stream, unless it exists already.
func (b *bundle) startLate(t *testing.T, name string) {
	t.Helper()
	err := b.raw.XGroupCreateMkStream(b.ctx, b.key(name), job.DefaultGroup, "$").Err()
	if err != nil && !strings.HasPrefix(err.Error(), "BUSYGROUP") {
		t.Fatal(err)
	}
}

// rawRead is a raw worker's read of all there is, as the jobs' ids.
func (b *bundle) rawRead(t *testing.T, name, group string) []string {
	t.Helper()
	var jobs []string
	for {
		streams, err := b.raw.XReadGroup(b.ctx, groupRead(b.key(name), group, 100)).Result()
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
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{
			"fair": {FairBy: job.FairByOrganization, FairAhead: 10}, "unique": {UniqueJobs: true}, "bounded": {MaxLength: 10}}})
		task := func(id string) job.Task { return job.Task{JobID: id} }
		one := func(name, id, request string, state *job.InitialState) error {
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name, RequestID: request}, Task: task(id), State: state})
			return err
		}
		ways := map[string]func(id string) error{
			"plain":   func(id string) error { return one("plain", id, "", nil) },
			"state":   func(id string) error { return one("state", id, "", &job.InitialState{}) },
			"request": func(id string) error { return one("request", id, id, nil) },
			"fair":    func(id string) error { return one("fair", id, "", nil) },
			"unique":  func(id string) error { return one("unique", id, "", nil) },
			"bounded": func(id string) error { return one("bounded", id, "", nil) },
			"batch": func(id string) error {
				_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "batch"}, Tasks: []job.Task{task(id), task(id + "+")}})
				return err
			},
			"delayed": func(id string) error {
				_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "delayed"}, Task: task(id), Delay: time.Millisecond})
				if err == nil {
					await(t, b.ctx, func() bool {
						return b.broker.MoveDue(b.ctx) == nil && b.raw.XLen(b.ctx, b.key("delayed")).Val() == 1
					})
				}
				return err
			},
			"redriven": func(id string) error {
				if err := one("redriven", id, "", nil); err != nil {
					return err
				}
				d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "redriven", Consumer: "w", Max: 1})
				if err != nil || len(d) != 1 {
					return fmt.Errorf("%d deliveries: %w", len(d), err)
				}
				if err := b.nack(queue.NackRequest{Token: d[0].Lease.Token(), DeadLetter: true}); err != nil {
					return err
				}
				b.raw.Del(b.ctx, b.key("redriven"))
				_, err = b.broker.Redrive(b.ctx, "redriven", true, nil)
				return err
			},
		}
		for name, publish := range ways {
			for _, id := range []string{name + "-first", name + "-after-deletion"} {
				if err := publish(id); err != nil {
					t.Fatal(name, err)
				}
				b.startLate(t, name)
				want := []string{id}
				if name == "batch" {
					want = append(want, id+"+")
				}
				if got := b.rawRead(t, name, job.DefaultGroup); !slices.Equal(got, want) {
					t.Errorf("%s: the late worker got %v, want %v", name, got, want)
				}
				b.raw.Del(b.ctx, b.key(name))
			}
		}
	})
}

// A stream without any group, as a raw producer leaves it, gets the default group with the
// first publish.
func TestFirstPublishCreatesTheGroupOfAnExistingStream(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", "raw"))
		b.publish(t, job.Task{JobID: "ours"})
		b.startLate(t, job.DefaultQueue)
		if got := b.rawRead(t, job.DefaultQueue, job.DefaultGroup); !slices.Equal(got, []string{"raw", "ours"}) {
			t.Error(got)
		}
	})
}

// Where workers have a group of another name, no default group is made.
func TestPublishLeavesAnotherGroupAlone(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.XGroupCreateMkStream(b.ctx, b.key(job.DefaultQueue), "legacy", "$")
		b.publish(t, job.Task{JobID: "job"})
		if groups := b.raw.XInfoGroups(b.ctx, b.key(job.DefaultQueue)).Val(); len(groups) != 1 || groups[0].Name != "legacy" {
			t.Error(groups)
		}
	})
}

// rawWork reads all there is as a raw worker, and acknowledges it, without deleting.
func (b *bundle) rawWork(t *testing.T, name, group string) []string {
	t.Helper()
	jobs := b.rawRead(t, name, group)
	for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(name), group)).Val() {
		b.raw.XAck(b.ctx, b.key(name), group, p.ID)
	}
	return jobs
}

// Where workers have another group than the default one, the default group that the first
// publish makes keeps nothing.
func TestUnusedDefaultGroupKeepsNothing(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{job.AnyGroup}}})
		key := b.key(job.DefaultQueue)
		left := func(when string, want int64) {
			t.Helper()
			if got := b.raw.XLen(b.ctx, key).Val(); got != want {
				t.Errorf("%s: %d entries are left, want %d", when, got, want)
			}
		}
		b.publish(t, job.Task{JobID: "first"})
		if groups := b.raw.XInfoGroups(b.ctx, key).Val(); len(groups) != 1 || groups[0].Name != job.DefaultGroup {
			t.Fatal("the first publish makes the default group:", groups)
		}
		// gRPC workers of another group: what they settle is deleted at once.
		read := func(group string) []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		if d := read("scanners"); len(d) != 1 {
			t.Fatal(d)
		} else if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		left("completed by another group", 0)

		// Raw workers of another group: what they acknowledge is removed by the cleaner.
		for i := range 20 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		b.rawWork(t, job.DefaultQueue, "scanners")
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
		b.publish(t, job.Task{JobID: "both"})
		if d := read(job.DefaultGroup); len(d) != 1 {
			t.Fatal(d)
		}
		b.rawWork(t, job.DefaultQueue, "scanners")
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
		b := setup(t, e, job.Settings{Logger: newLog(log)})
		const warning = "no consumer is known to have been given"
		clean := func(when string, left, unseen int64) {
			t.Helper()
			if err := b.broker.Clean(b.ctx); err != nil {
				t.Fatal(err)
			}
			if got := b.raw.XLen(b.ctx, b.key(job.DefaultQueue)).Val(); got != left {
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
			b.publish(t, job.Task{JobID: fmt.Sprint("missed-", i)})
		}
		// A raw worker starts late, with a group of another name.
		b.raw.XGroupCreateMkStream(b.ctx, b.key(job.DefaultQueue), "legacy", "$")
		clean("no worker reads", 3, 0)
		b.publish(t, job.Task{JobID: "held"})
		if got := b.rawRead(t, job.DefaultQueue, "legacy"); !slices.Equal(got, []string{"held"}) {
			t.Fatal(got)
		}
		clean("a worker has read behind them", 1, 3)
		b.publish(t, job.Task{JobID: "seen"})
		if got := b.rawWork(t, job.DefaultQueue, "legacy"); !slices.Equal(got, []string{"seen"}) {
			t.Fatal(got)
		}
		clean("all is acknowledged", 0, 3)
	})
}

// What raw peers acknowledged and left in the stream does not wait for anyone.
func TestWhatRawPeersAcknowledgedDoesNotWait(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 10 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
		}
		held := b.readOne(t, "w") // keeps the cleaner from removing what lies behind it
		b.rawRead(t, job.DefaultQueue, job.DefaultGroup)
		for _, p := range b.raw.XPendingExt(b.ctx, pendingOf(b.key(job.DefaultQueue), job.DefaultGroup)).Val()[1:8] {
			b.raw.XAck(b.ctx, b.key(job.DefaultQueue), job.DefaultGroup, p.ID)
		}
		b.publish(t, job.Task{JobID: "next"})
		q, err := b.broker.Queue(b.ctx, "")
		if err != nil || q.Waiting != 1 || q.Leased != 3 || len(q.Groups) != 1 || q.Groups[0].Waiting != 1 {
			t.Errorf("%+v %v, want 1 waiting and 3 leased", q, err)
		}
		for id, want := range map[string]queue.Where{held.Task.JobID: queue.WhereLeased, "job-3": queue.WhereNowhere, "job-9": queue.WhereLeased, "next": queue.WhereWaiting} {
			b.raw.HSet(b.ctx, b.key("job_state:"+id), "f", "v")
			if info, err := b.broker.Job(b.ctx, id); err != nil || info.Place.Where != want {
				t.Errorf("%s is %q %v, want %q", id, info.Place.Where, err, want)
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
		b := setup(t, e, job.Settings{})
		tasks := make([]job.Task, job.MaxBatch)
		for i := range tasks {
			tasks[i].JobID = fmt.Sprint("job-", i)
		}
		for range 3 {
			if _, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks}); err != nil {
				t.Fatal(err)
			}
		}
		for len(b.rawWork(t, job.DefaultQueue, job.DefaultGroup)) > 0 || b.pending(t) > 0 {
		}
		b.publish(t, job.Task{JobID: "next"})
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
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{RetryMin: time.Millisecond}})
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
			if err := b.broker.SetState(b.ctx, "job", map[string]string{own: "x"}, ""); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("%s: %v", own, err)
			}
		}
		// A task keeps such a field through a retry, a death and a redrive, and an event has it.
		b.publish(t, job.Task{JobID: "task", Attributes: map[string]string{name: "queued"}})
		d := b.readOne(t, "w")
		for _, dead := range []bool{false, true} {
			if d.Task.Attributes[name] != "queued" {
				t.Fatal(d.Task)
			}
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), DeadLetter: dead, Reason: "why"}); err != nil {
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
		result := job.Result{Status: job.StatusCompleted, Fields: map[string]string{name: "done"}}
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
		seen := map[string]func(t *testing.T, b *bundle, id string) job.Status{
			"State": func(t *testing.T, b *bundle, id string) job.Status {
				state, err := b.broker.State(b.ctx, id, nil)
				if err != nil || state.Fields["status"] != string(state.Status) || state.Fields["trivy"] != "1" {
					t.Error(state, err)
				}
				return state.Status
			},
			"State of some fields": func(t *testing.T, b *bundle, id string) job.Status {
				state, err := b.broker.State(b.ctx, id, []string{"status"})
				if err != nil || len(state.Fields) != 1 {
					t.Error(state, err)
				}
				return job.Status(state.Fields["status"])
			},
			"StateField": func(t *testing.T, b *bundle, id string) job.Status {
				status, err := b.broker.StateField(b.ctx, id, "status")
				if err != nil {
					t.Error(err)
				}
				return job.Status(status)
			},
			"ListJobs": func(t *testing.T, b *bundle, id string) job.Status {
				jobs, _, err := b.broker.ListJobs(b.ctx, "", 1000)
				if err != nil {
					t.Error(err)
				}
				for _, j := range jobs {
					if j.JobID == id {
						return j.Status
					}
				}
				return ""
			},
			"Job": func(t *testing.T, b *bundle, id string) job.Status {
				info, err := b.broker.Job(b.ctx, id)
				if err != nil {
					t.Error(err)
				}
				return info.Status
			},
			"Watch": func(t *testing.T, b *bundle, id string) job.Status {
				w, snapshot, err := b.broker.Watch(b.ctx, id, "")
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
					b := setup(t, e, job.Settings{})
					id := strings.ReplaceAll(name+encoding, " ", "-")
					b.raw.HSet(b.ctx, b.key("job_state:"+id), "status", "running", "trivy", "1")
					if encoding == "with progress too" {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+id), "status", "running"))
					}
					b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+id), completion...))
					if got := read(t, b, id); got != job.StatusFailed {
						t.Errorf("%s: %q, want failed", encoding, got)
					}
					await(t, b.ctx, func() bool { return b.hash(t, "job_state:"+id)["status"] == "failed" })
					if at := b.hash(t, "job_state:"+id)["completed_at"]; at != "1700000000" {
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
		b := setup(t, e, job.Settings{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		w, snapshot, err := b.broker.Watch(b.ctx, "job", "")
		if err != nil || snapshot.Status != job.StatusRunning {
			t.Fatal(snapshot, err)
		}
		defer w.Close()
		b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job"), "status", "completed"))
		if event, err := w.Next(b.ctx, time.Minute); err != nil || event == nil || event.Status != job.StatusCompleted {
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
		b := setup(t, e, job.Settings{})
		b.raw.HSet(b.ctx, b.key("job_state:job"), "status", "running")
		heal := func(id, want string) {
			t.Helper()
			if err := b.broker.Heal(b.ctx, id); err != nil {
				t.Fatal(err)
			}
			if status := b.hash(t, "job_state:"+id)["status"]; status != want {
				t.Errorf("%s: %q, want %q", id, status, want)
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
		json := job.QueueSettings{Encoding: job.EncodingJSON, JSONNumbers: []string{"priority"}}
		fair := json
		fair.FairBy = job.FairByOrganization
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json": json, "fair": fair}})
		publish := func(name string, delay time.Duration) {
			t.Helper()
			_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Delay: delay,
				Task: job.Task{JobID: "job", CreatedAt: time.Unix(1700000000, 0), TimeoutSeconds: 60,
					Attributes: map[string]string{"retry_count": "3", "ttl_seconds": "-1", "priority": "0.5", "version": "7", "build": "007", "ref": "1 "}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		data := func(name string) string {
			t.Helper()
			entries := b.stream(t, name)
			if len(entries) != 1 {
				t.Fatalf("%d entries in %s", len(entries), name)
			}
			return fmt.Sprint(entries[0].Values["data"])
		}
		read := func(name string) queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Consumer: "w", Wait: time.Minute})
			if err != nil || len(d) != 1 {
				t.Fatal(d, err)
			}
			return d[0]
		}
		const ours = `{"build":"007","created_at":"2023-11-14T22:13:20Z","gcs_uri":"","job_id":"job","organization_id":"","priority":0.5,"ref":"1 ",` +
			`"report_id":"","retry_count":3,"scanners":[],"timeout_seconds":60,"ttl_seconds":-1,"version":"7"}`
		const theirs = `{"job_id":"job", "retry_count":0, "ttl_seconds":3600, "urgent":true, "limits":{"cpu":1.50}, "tags":["a",1,null], "big":12345678901234567890}`
		for _, c := range []struct{ name, want string }{{"json", ours}, {"fair", ours}, {"json", theirs}, {"fair", theirs}} {
			if c.want == ours {
				publish(c.name, 0)
			} else {
				b.raw.XAdd(b.ctx, entry(b.key(c.name), "data", theirs))
			}
			check := func(when string) {
				t.Helper()
				if got := data(c.name); got != c.want {
					t.Errorf("%s, %s:\n%s, want\n%s", c.name, when, got, c.want)
				}
			}
			d := read(c.name)
			check("published")
			nack := func(r queue.NackRequest) {
				t.Helper()
				r.Token = d.Lease.Token()
				if err := b.nack(r); err != nil {
					t.Fatal(err)
				}
			}
			nack(queue.NackRequest{Delay: new(time.Duration)})
			d = read(c.name)
			check("given back")
			nack(queue.NackRequest{Delay: new(time.Millisecond)})
			d = read(c.name)
			check("given back with a delay")
			nack(queue.NackRequest{DeadLetter: true})
			if letters := b.stream(t, "argus_dead:"+c.name); len(letters) != 1 || letters[0].Values["data"] != c.want {
				t.Errorf("dead letter %v", letters)
			}
			if _, err := b.broker.Redrive(b.ctx, c.name, true, nil); err != nil {
				t.Fatal(err)
			}
			d = read(c.name)
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
		for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
			t.Run(string(encoding), func(t *testing.T) {
				t.Parallel()
				b := setup(t, redistest.Engine{Name: e.Name, Addr: e.Addr, Prefix: e.Prefix + string(encoding) + ":"}, job.Settings{Queue: job.QueueSettings{Encoding: encoding}})
				key := b.key(job.DefaultQueue)
				jobs := make(map[string]string) // by whom they were done
				for i := range 20 {
					id := fmt.Sprint("job-", i)
					jobs[id] = ""
					if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, State: &job.InitialState{}}); err != nil {
						t.Fatal(err)
					}
				}
				b.startLate(t, job.DefaultQueue)
				for range 10 {
					streams, err := b.raw.XReadGroup(b.ctx, groupRead(key, job.DefaultGroup, 1)).Result()
					if err != nil {
						t.Fatal(err)
					}
					m := streams[0].Messages[0]
					task, err := job.DecodeTask(values(m))
					if _, isJSON := m.Values["data"]; err != nil || isJSON != (encoding == job.EncodingJSON) {
						t.Fatal(m, err)
					}
					jobs[task.JobID] += "raw"
					b.raw.HSet(b.ctx, b.key("job_state:"+task.JobID), "argus_status", "scanned")
					if encoding == job.EncodingJSON {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "data",
							fmt.Sprintf(`{"job_id":%q,"status":"completed","completed_at":"2026-01-02T03:04:05Z","results":{"findings":3}}`, task.JobID)))
					} else {
						b.raw.XAdd(b.ctx, entry(b.key("argus_completion:"+task.JobID), "job_id", task.JobID, "status", "completed", "findings", "3"))
					}
					b.raw.XAck(b.ctx, key, job.DefaultGroup, m.ID)

					d := b.readOne(t, "ours")
					jobs[d.Task.JobID] += "ours"
					if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"findings": "3"}}); err != nil {
						t.Fatal(err)
					}
				}
				for id, by := range jobs {
					state, err := b.broker.State(b.ctx, id, nil)
					if by != "raw" && by != "ours" || err != nil || state.Status != job.StatusCompleted || (state.Fields["argus_status"] == "scanned") != (by == "raw") {
						t.Errorf("%s, done by %q: %v %v", id, by, state, err)
					}
					if event, err := b.broker.Await(b.ctx, id, 0); err != nil || event == nil || event.Status != job.StatusCompleted || event.Fields["findings"] != "3" {
						t.Errorf("%s: %v %v", id, event, err)
					}
					if info, err := b.broker.Job(b.ctx, id); err != nil || info.Place.Where != queue.WhereNowhere || info.Result == nil {
						t.Errorf("%s: %+v %v", id, info, err)
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
