package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// now gives a task back at once.
func now(d queue.Delivery, reason string) queue.NackRequest {
	return queue.NackRequest{Token: d.Lease.Token(), Delay: new(time.Duration), Reason: reason}
}

// letter is the one dead letter of the default queue.
func (b *bundle) letter(t *testing.T) admin.DeadLetter {
	t.Helper()
	letters, err := b.broker.DeadLetters(b.ctx, "", "", 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%d dead letters: %v", len(letters), err)
	}
	return letters[0]
}

// events checks a job's events: their statuses, in order.
func (b *bundle) events(t *testing.T, id string, want ...string) {
	t.Helper()
	var got []string
	for _, event := range b.stream(t, "argus_completion:"+id) {
		got = append(got, fmt.Sprint(event.Values["status"]))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events of %s (-want +got):\n%s", id, diff)
	}
}

// A task that is given back too often is a dead letter, and its job has failed. Crashes
// don't count.
func TestMaxAttempts(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxAttempts: 3, MaxCrashes: 5}})
		source := b.publish(t, job.Task{JobID: "job", Attributes: map[string]string{"k": "v"}})
		for i := range 3 {
			d := b.readOne(t, "w")
			b.expire(t, d.Lease) // the worker crashes
			d = b.readOne(t, "w")
			if d.Attempt != 2*i+2 || d.Failures != i {
				t.Errorf("attempt %d with %d failures, want %d and %d", d.Attempt, d.Failures, 2*i+2, i)
			}
			n, err := b.broker.Nack(b.ctx, now(d, "not yet"))
			want := queue.Nacked{Outcome: queue.NackRetry}
			if i == 2 {
				want.Outcome = queue.NackDead
			}
			if err != nil || n != want {
				t.Errorf("%v, %v, want %v", n, err, want)
			}
		}
		if more := b.read(t, "w", 1); len(more) != 0 {
			t.Error("it was delivered again:", more)
		}
		d := b.letter(t)
		if d.Cause != queue.CauseMaxAttempts || d.Reason != "not yet" || d.Attempts != 6 || d.Failures != 3 ||
			d.Task.Attributes["k"] != "v" || d.DiedAt.IsZero() || d.PublishedAt.IsZero() || d.Group != job.DefaultGroup || d.SourceID == source {
			t.Errorf("%+v", d)
		}
		b.events(t, "job", "failed")
		if s := b.hash(t, "job_state:job"); s["status"] != "failed" || s["error_message"] != "gave up after 3 attempts: not yet" {
			t.Error(s)
		}
	})
}

// A poison task that kills its workers ends in the dead letters.
func TestMaxCrashes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxCrashes: 3}})
		b.publish(t, job.Task{JobID: "poison"})
		for range 3 {
			b.expire(t, b.readOne(t, "w").Lease)
		}
		b.readNothing(t, func() bool { return b.pending(t) == 0 })
		b.publish(t, job.Task{JobID: "neighbour"})
		if d := b.readOne(t, "w"); d.Task.JobID != "neighbour" {
			t.Error("delivered:", d.Task.JobID)
		}
		if d := b.letter(t); d.Cause != queue.CauseMaxCrashes || d.Attempts != 3 || d.Failures != 0 {
			t.Errorf("%+v", d)
		}
		b.events(t, "poison", "failed")
	})
}

// A release counts for nothing.
func TestRelease(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{MaxAttempts: 1, MaxCrashes: 1}})
		for _, id := range []string{"first", "second"} {
			b.publish(t, job.Task{JobID: id})
		}
		for range 3 {
			d := b.readOne(t, "w")
			if d.Task.JobID != "first" || d.Attempt != 1 {
				t.Fatalf("%s, attempt %d", d.Task.JobID, d.Attempt)
			}
			if n, err := b.broker.Nack(b.ctx, queue.NackRequest{Token: d.Lease.Token(), Release: true}); err != nil || n.Outcome != queue.NackRetry {
				t.Fatal(n, err)
			}
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Release: true}); !errors.Is(err, job.ErrLeaseLost) {
				t.Error("released twice:", err)
			}
		}
	})
}

// The back-off doubles, half of it is random, and it ends at its maximum.
func TestBackOff(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{RetryMin: time.Minute, RetryMax: 5 * time.Minute, MaxAttempts: 100}})
		b.publish(t, job.Task{JobID: "job"})
		for _, most := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute, 5 * time.Minute, 5 * time.Minute} {
			n, err := b.broker.Nack(b.ctx, queue.NackRequest{Token: b.readOne(t, "w").Lease.Token()})
			if err != nil || n.Delay < most/2 || n.Delay > most {
				t.Errorf("%v, %v, want %s to %s", n, err, most/2, most)
			}
			b.travel(t)
		}
	})
}

// travel makes the delayed tasks of the default queue due, and waits until they are in the
// queue.
func (b *bundle) travel(t *testing.T) {
	t.Helper()
	key := b.key("argus_delayed:" + job.DefaultQueue)
	for _, member := range b.raw.ZRange(b.ctx, key, 0, -1).Val() {
		b.raw.Do(b.ctx, "ZADD", key, 1, member)
	}
	for b.raw.ZCard(b.ctx, key).Val() > 0 {
		if err := b.broker.MoveDue(b.ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// What a dead letter's job gets back when it is redriven, by one, by some, and all.
func TestRedrive(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			id := fmt.Sprint("job-", i)
			if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: id}); err != nil {
				t.Fatal(err)
			}
			b.publish(t, job.Task{JobID: id})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true, Reason: "no"}); err != nil {
				t.Fatal(err)
			}
		}
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "nonsense", "1"))
		if more := b.read(t, "w", 1); len(more) != 0 {
			t.Fatal(more)
		}
		letters, err := b.broker.DeadLetters(b.ctx, "", "", 3)
		if err != nil || len(letters) != 3 {
			t.Fatal(letters, err)
		}
		rest, err := b.broker.DeadLetters(b.ctx, "", letters[2].EntryID, 10)
		if err != nil || len(rest) != 3 {
			t.Fatal(rest, err)
		}
		if d := rest[2]; d.IsTask || d.Fields["nonsense"] != "1" || d.Cause != queue.CauseMalformed {
			t.Errorf("%+v", d)
		}
		ids := []string{letters[0].EntryID, letters[1].EntryID, "1-1"}
		if n, err := b.broker.Redrive(b.ctx, "", false, ids); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		b.events(t, "job-0")
		b.events(t, "job-2", "failed")
		if s := b.hash(t, "job_state:job-0"); s["status"] != "pending" || s["error_message"] != "" || s["completed_at"] != "" {
			t.Error(s)
		}
		d := b.readOne(t, "w")
		if d.Task.JobID != "job-0" || d.Attempt != 1 || d.Failures != 0 {
			t.Errorf("%+v", d)
		}
		if r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil || r.Already {
			t.Error(r, err)
		}
		b.events(t, "job-0", "completed")
		// One that got another result since keeps it.
		if _, err := b.broker.Report(b.ctx, "job-2", job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 3 || err != nil {
			t.Error(n, err)
		}
		if n := len(b.read(t, "w", 10)); n != 4 { // job-1 to job-4
			t.Error(n, "tasks")
		}
		if d := b.letter(t); d.IsTask { // the nonsense stays
			t.Errorf("%+v", d)
		}
		if n, err := b.broker.DeleteDeadLetters(b.ctx, "", false, []string{b.letter(t).EntryID}); n != 1 || err != nil {
			t.Error(n, err)
		}
	})
}

// A task that is given back in one group is not delivered again to another.
func TestNackInOneOfTwoGroups(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Groups: job.Groups{"one", "two"}}})
		read := func(group string) []queue.Delivery {
			t.Helper()
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 10})
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
		b.publish(t, job.Task{JobID: "job"})
		one, two := read("one"), read("two")
		if len(one) != 1 || len(two) != 1 {
			t.Fatal(one, two)
		}
		for _, delay := range []time.Duration{0, time.Hour} {
			if err := b.nack(queue.NackRequest{Token: one[0].Lease.Token(), Delay: &delay}); err != nil {
				t.Fatal(err)
			}
			b.travel(t)
			if again := read("two"); len(again) != 0 {
				t.Error("the other group got it again")
			}
			if one = read("one"); len(one) != 1 {
				t.Fatal(one)
			}
		}
		for _, d := range append(one, two...) {
			if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
				t.Error(r, err)
			}
		}
		if left := b.stream(t, job.DefaultQueue); len(left) != 0 {
			t.Error("entries that every group has settled are left:", left)
		}
	})
}

func TestQueueLimit(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"small": {MaxLength: 3}}})
		publish := func(n int, delay time.Duration) error {
			var err error
			if delay > 0 {
				_, _, err = b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: "small"}, Delay: delay})
			} else {
				_, _, err = b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{Queue: "small"}, Tasks: make([]job.Task, n)})
			}
			return err
		}
		if err := errors.Join(publish(1, 0), publish(1, time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := publish(2, 0); !errors.Is(err, job.ErrQueueFull) {
			t.Error(err)
		}
		if n := len(b.stream(t, "small")); n != 1 {
			t.Error(n, "entries: a refused batch left something")
		}
		if err := publish(1, 0); err != nil {
			t.Error(err)
		}
		if err := publish(1, time.Hour); !errors.Is(err, job.ErrQueueFull) {
			t.Error(err)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "small", Consumer: "w"})
		if err != nil || len(d) != 1 {
			t.Fatal(d, err)
		}
		if _, err := b.broker.Complete(b.ctx, d[0].Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		if err := publish(1, 0); err != nil {
			t.Error("after one is done:", err)
		}
	})
}

func TestUniqueJobs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{job.DefaultQueue: {UniqueJobs: true}}})
		publish := func(jobs ...string) error {
			var tasks []job.Task
			for _, id := range jobs {
				tasks = append(tasks, job.Task{JobID: id})
			}
			_, _, err := b.broker.PublishBatch(b.ctx, queue.PublishBatchRequest{Tasks: tasks})
			return err
		}
		want := func(when string, err, is error) {
			t.Helper()
			if !errors.Is(err, is) {
				t.Errorf("%s: %v, want %v", when, err, is)
			}
		}
		want("new", publish("a", "b"), nil)
		want("waiting", publish("c", "a"), job.ErrJobActive)
		want("twice in a batch", publish("d", "d"), job.ErrInvalid)
		if n := len(b.stream(t, job.DefaultQueue)); n != 2 {
			t.Error(n, "entries")
		}
		a, second := b.readOne(t, "w"), b.readOne(t, "w")
		want("leased", publish("a"), job.ErrJobActive)
		want("given back", b.nack(now(a, "")), nil)
		want("given back", publish("a"), job.ErrJobActive)
		a = b.readOne(t, "w")
		if _, err := b.broker.Complete(b.ctx, a.Lease.Token(), job.Result{Status: job.StatusFailed}); err != nil {
			t.Fatal(err)
		}
		want("finished", publish("a"), nil)
		want("again, with an old result", publish("a"), job.ErrJobActive)
		if r, err := b.broker.Ack(b.ctx, []string{second.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Fatal(r, err)
		}
		want("acknowledged", publish("b"), nil)
		later := entry(b.key("argus_completion:b"), "data", `{"status":"completed"}`)
		later.ID = fmt.Sprint(time.Now().UnixMilli()+1000, "-0")
		want("by a raw peer, in JSON", b.raw.XAdd(b.ctx, later).Err(), nil)
		want("a result, and its task is unsettled", publish("b"), job.ErrJobActive)
		b.rawWork(t, job.DefaultQueue, job.DefaultGroup)
		await(t, b.ctx, func() bool { return publish("b") == nil })
	})
}

// A name of a queue, a part, and other bad arguments of this file's calls.
func TestPolicyArguments(t *testing.T) {
	t.Parallel()
	for field, config := range map[string]job.QueueSettings{
		"max_attempts": {MaxAttempts: -1}, "max_crashes": {MaxCrashes: 1 << 31}, "max_length": {MaxLength: -5},
		"retry_min": {RetryMin: time.Microsecond}, "retry_max": {RetryMax: job.MaxDelay + 1},
	} {
		if err := (job.Settings{Queue: config}).Validate(); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
