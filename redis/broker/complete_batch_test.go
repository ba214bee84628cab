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

// Each result of a batch has its own outcome; an error of one affects no other.
func TestResultsOfABatchHaveTheirOwnOutcomes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 8 {
			if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}, State: &job.InitialState{}}); err != nil {
				t.Fatal(err)
			}
		}
		b.publish(t, job.Task{JobID: "job-0"})
		d := b.read(t, "w", 10)
		if len(d) != 9 {
			t.Fatalf("read: %+v; want len(d) == 9", len(d))
		}
		b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job-2"), "data", `{"status":"partial"}`)) // a raw worker's result
		b.raw.XAdd(b.ctx, entry(b.key("argus_completion:job-7"), "data", `{"status":"running"}`))
		b.raw.Set(b.ctx, b.key("argus_completion:job-3"), "x", 0)
		b.raw.Del(b.ctx, b.key("job_state:job-4"))
		b.raw.Set(b.ctx, b.key("job_state:job-4"), "x", 0)
		b.expire(t, d[5].Lease)
		other := b.readOne(t, "other") // has job-5 now
		outcomes := b.completeAll(t, completed(d[0].Lease.Token()), completed("bad"), completed(d[1].Lease.Token()), completed(d[2].Lease.Token()),
			completed(d[3].Lease.Token()), completed(d[4].Lease.Token()), completed(d[5].Lease.Token()), completed(d[8].Lease.Token()), completed(d[1].Lease.Token()),
			result.Completion{Token: d[6].Lease.Token(), Result: job.Result{Status: job.StatusRunning}}, completed(d[7].Lease.Token()))
		want := []error{nil, job.ErrLeaseToken, nil, nil, job.ErrKeyType, job.ErrKeyType, job.ErrLeaseLost, nil, nil, job.ErrInvalid, nil}
		for i, o := range outcomes {
			if !errors.Is(o.Err, want[i]) || (o.Err == nil) != (o.Cursor != "") {
				t.Errorf("%d: %+v, want %v", i, o, want[i])
			}
		}
		for i, already := range map[int]bool{0: false, 2: false, 3: true, 7: true, 8: true, 10: false} {
			if outcomes[i].Already != already {
				t.Errorf("%d: %+v", i, outcomes[i])
			}
		}
		b.events(t, "job-0", "completed")
		b.events(t, "job-1", "completed")
		if n := len(b.stream(t, "argus_completion:job-2")); n != 1 {
			t.Error(n, "results")
		}
		// Tasks whose result was not recorded are still leased; the others are settled.
		left := map[string]bool{}
		for _, m := range b.stream(t, job.DefaultQueue) {
			left[fmt.Sprint(m.Values["job_id"])] = true
		}
		if len(left) != 4 || !left["job-3"] || !left["job-4"] || !left["job-5"] || !left["job-6"] || b.pending(t) != 4 {
			t.Error(left, b.pending(t))
		}
		b.raw.Del(b.ctx, b.key("job_state:job-4"), b.key("argus_completion:job-3"))
		for i, o := range b.completeAll(t, completed(d[3].Lease.Token()), completed(d[4].Lease.Token()), completed(other.Lease.Token()), completed(d[6].Lease.Token())) {
			if o.Err != nil || o.Already {
				t.Errorf("%d: %+v", i, o)
			}
		}
		if b.pending(t) != 0 || len(b.stream(t, job.DefaultQueue)) != 0 {
			t.Errorf("%d entries and %d pending are left, want none", len(b.stream(t, job.DefaultQueue)), b.pending(t))
		}
		if state := b.hash(t, "job_state:job-1"); state["status"] != "completed" || state["n"] != "1" || state["completed_at"] == "" {
			t.Error(state)
		}
		for _, n := range []int{0, job.MaxBatch + 1} {
			if _, err := b.broker.CompleteBatch(b.ctx, make([]result.Completion, n)); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("CompleteBatch: %+v, %v; want the error ErrInvalid", n, err)
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
