package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// completeAll completes deliveries in one call.
func (b *bundle) completeAll(t *testing.T, all ...result.Completion) []result.Outcome {
	t.Helper()
	outcomes, err := b.broker.CompleteBatch(b.ctx, all)
	if err != nil || len(outcomes) != len(all) {
		t.Fatalf("CompleteBatch: %+v, %v; want len(outcomes) == len(all)", len(outcomes), err)
	}
	return outcomes
}

func completed(token string) result.Completion {
	return result.Completion{Token: token, Result: job.Result{Status: job.StatusCompleted, Fields: map[string]string{"n": "1"}}}
}

// setupBatch leases one task of each of the jobs job-0 to job-7, and a second one of job-0, and spoils some of them:
// job-2 has a raw worker's result and job-7 a raw worker's progress, a key of job-3's and of job-4's is of another
// type, and the lease of job-5 is another worker's by now.
func setupBatch(t *testing.T, e redistest.Engine) (b *bundle, tokens []string, other queue.Delivery) {
	t.Helper()
	b = setup(t, e, job.Settings{})
	for i := range 8 {
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}, State: &job.InitialState{}}); err != nil {
			t.Fatal(err)
		}
	}
	b.publish(t, job.Task{JobID: "job-0"})
	deliveries := b.read(t, "w", 10)
	if len(deliveries) != 9 {
		t.Fatalf("%d deliveries, want 9", len(deliveries))
	}
	for _, d := range deliveries {
		tokens = append(tokens, d.Lease.Token())
	}
	b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job-2"), "data", `{"status":"partial"}`))
	b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job-7"), "data", `{"status":"running"}`))
	b.raw.Set(b.ctx, b.key("argus_completion:job-3"), "x", 0)
	b.raw.Del(b.ctx, b.key("job_state:job-4"))
	b.raw.Set(b.ctx, b.key("job_state:job-4"), "x", 0)
	b.expire(t, deliveries[5].Lease)
	return b, tokens, b.readOne(t, "other")
}

// Each result of a batch has its own outcome; an error of one affects no other. A task whose result was not
// recorded remains leased, and can be completed later.
func TestResultsOfABatchHaveTheirOwnOutcomes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b, tokens, other := setupBatch(t, e)
		running := result.Completion{Token: tokens[6], Result: job.Result{Status: job.StatusRunning}}
		want := []struct {
			what       string
			completion result.Completion
			err        error
			isAlready  bool
		}{
			{"a task", completed(tokens[0]), nil, false},
			{"a bad token", completed("bad"), job.ErrLeaseToken, false},
			{"another task", completed(tokens[1]), nil, false},
			{"a raw worker's result", completed(tokens[2]), nil, true},
			{"events of another type", completed(tokens[3]), job.ErrKeyType, false},
			{"a state of another type", completed(tokens[4]), job.ErrKeyType, false},
			{"a lost lease", completed(tokens[5]), job.ErrLeaseLost, false},
			{"the second task of a job", completed(tokens[8]), nil, true},
			{"the same token again", completed(tokens[1]), nil, true},
			{"a status that is not terminal", running, job.ErrInvalid, false},
			{"a raw worker's progress", completed(tokens[7]), nil, false},
		}
		var all []result.Completion
		for _, c := range want {
			all = append(all, c.completion)
		}
		for i, o := range b.completeAll(t, all...) {
			if c := want[i]; !errors.Is(o.Err, c.err) || (o.Err == nil) != (o.Cursor != "") || o.Already != c.isAlready {
				t.Errorf("%s: %+v, want the error %v and already %t", c.what, o, c.err, c.isAlready)
			}
		}
		b.events(t, "job-0", "completed")
		b.events(t, "job-1", "completed")
		if n := len(b.stream(t, "argus_completion:job-2")); n != 1 {
			t.Errorf("%d events of the job with a raw worker's result, want 1", n)
		}
		left := map[string]bool{}
		for _, m := range b.stream(t, job.DefaultQueue) {
			left[fmt.Sprint(m.Values["job_id"])] = true
		}
		if len(left) != 4 || !left["job-3"] || !left["job-4"] || !left["job-5"] || !left["job-6"] || b.pending(t) != 4 {
			t.Errorf("%v are left and %d are pending, want job-3 to job-6", left, b.pending(t))
		}
		b.raw.Del(b.ctx, b.key("job_state:job-4"), b.key("argus_completion:job-3"))
		for i, o := range b.completeAll(t, completed(tokens[3]), completed(tokens[4]), completed(other.Lease.Token()), completed(tokens[6])) {
			if o.Err != nil || o.Already {
				t.Errorf("completion %d of those that were left: %+v, want it recorded", i, o)
			}
		}
		b.nothingLeft(t)
		if state := b.hash(t, "job_state:job-1"); state["status"] != "completed" || state["n"] != "1" || state["completed_at"] == "" {
			t.Errorf("the state of job-1 is %v, want it completed with its fields", state)
		}
	})
}

// A batch has 1 to job.MaxBatch results.
func TestCompleteBatchIsLimited(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for _, n := range []int{0, job.MaxBatch + 1} {
			if _, err := b.broker.CompleteBatch(b.ctx, make([]result.Completion, n)); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("a batch of %d: %v, want it refused", n, err)
			}
		}
	})
}

// A batch may be of several queues, groups and consumers, with parts, in both encodings.
func TestCompleteBatchOfSeveralQueuesAndConsumers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json": {Encoding: job.EncodingJSON}, "unique": {UniqueJobs: true}}})
		b.withParts(t, "parts", "one", "two")
		var all []result.Completion
		for i := range 150 {
			name := []string{job.DefaultQueue, "json", "unique"}[i%3]
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name}, Task: job.Task{JobID: fmt.Sprint("job-", i)}}); err != nil {
				t.Fatal(err)
			}
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Consumer: fmt.Sprint("w", i%7), Max: 1})
			for err == nil && len(d) == 1 && strings.HasPrefix(d[0].Task.JobID, "parts") {
				all = append(all, result.Completion{Token: d[0].Lease.Token(), Result: job.Result{Status: job.StatusCompleted, Part: d[0].Task.Part}})
				d, err = b.broker.Read(b.ctx, queue.ReadRequest{Queue: name, Consumer: "w", Max: 1})
			}
			if err != nil || len(d) != 1 {
				t.Fatal(d, err)
			}
			all = append(all, completed(d[0].Lease.Token()))
		}
		for i, o := range b.completeAll(t, all...) {
			if o.Err != nil || o.Already {
				t.Errorf("%d: %+v", i, o)
			}
		}
		for i := range 150 {
			id := fmt.Sprint("job-", i)
			info, err := b.broker.Job(b.ctx, id)
			if err != nil || info.Status != job.StatusCompleted || info.Place.Where != queue.WhereNowhere {
				t.Fatalf("%s: %+v, %v", id, info, err)
			}
		}
		if b.raw.Exists(b.ctx, b.key("argus_active:job-2")).Val() != 0 {
			t.Error("the mark that a job is active outlives its result")
		}
		if len(all) != 152 {
			t.Fatal(len(all), "results")
		}
		if info, err := b.broker.Job(b.ctx, "parts"); err != nil || info.Status != job.StatusCompleted || info.Result == nil {
			t.Errorf("%+v, %v", info, err)
		}
	})
}

// A token that occurs twice in one call settles its task once: the mark of a unique job with tasks for two
// groups stays until both have settled theirs.
func TestTokenTwiceInABatchSettlesOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		b.publishes(t, "new", true)
		read := func(group string) queue.Delivery {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 1})
			if err != nil || len(d) != 1 {
				t.Fatalf("Read: %+v, %v; want len(d) == 1", d, err)
			}
			return d[0]
		}
		one, two := read("one"), read("two")
		for _, d := range []queue.Delivery{one, two} { // each group returns it: two entries
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Delay: new(time.Duration)}); err != nil {
				t.Fatal(err)
			}
		}
		done := result.Completion{Token: read("one").Lease.Token(), Result: job.Result{Status: job.StatusCompleted}}
		outcomes, err := b.broker.CompleteBatch(b.ctx, []result.Completion{done, done})
		if err != nil || outcomes[0].Err != nil || outcomes[0].Already || outcomes[1].Err != nil || !outcomes[1].Already {
			t.Fatalf("CompleteBatch: %+v, %v; want no outcomes[0].Err and !outcomes[0].Already and no outcomes[1].Err and outcomes[1].Already", outcomes, err)
		}
		b.publishes(t, "one group's task is unsettled", false)
		b.acks(t, read("two"))
		b.publishes(t, "settled by both", true)
	})
}
