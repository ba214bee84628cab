package broker_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
		t.Fatal(len(outcomes), err)
	}
	return outcomes
}

func completed(token string) result.Completion {
	return result.Completion{Token: token, Result: job.Result{Status: job.StatusCompleted, Fields: map[string]string{"n": "1"}}}
}

// Each result of a batch has its own outcome, whatever is wrong with others.
func TestCompleteBatch(t *testing.T) {
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
			t.Fatal(len(d))
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
		// What could not be recorded is still leased; the rest is settled.
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
			t.Error("something is left")
		}
		if state := b.hash(t, "job_state:job-1"); state["status"] != "completed" || state["n"] != "1" || state["completed_at"] == "" {
			t.Error(state)
		}
		for _, n := range []int{0, job.MaxBatch + 1} {
			if _, err := b.broker.CompleteBatch(b.ctx, make([]result.Completion, n)); !errors.Is(err, job.ErrInvalid) {
				t.Error(n, err)
			}
		}
	})
}

// A batch may be of several queues, groups and consumers, with parts, in both encodings.
func TestCompleteBatchOfMany(t *testing.T) {
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

// A batch is published with a state for each job, or not at all.
func TestPublishBatchWithStates(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, q := range []job.QueueSettings{{}, {UniqueJobs: true}, {FairBy: job.FairByOrganization}, {MaxLength: 100}} {
			e.Prefix += "x:"
			b := setup(t, e, job.Settings{Queue: q})
			r := queue.PublishBatchRequest{State: &job.InitialState{Fields: map[string]string{"a": "b"}, TTL: time.Hour}}
			for i := range 5 {
				r.Tasks = append(r.Tasks, job.Task{JobID: fmt.Sprint("job-", i)})
			}
			b.raw.HSet(b.ctx, b.key("job_state:job-3"), "there", "before")
			_, _, err := b.broker.PublishBatch(b.ctx, r)
			var id *job.JobError
			if !errors.Is(err, job.ErrJobExists) || !errors.As(err, &id) || id.JobID != "job-3" {
				t.Error(err)
			}
			if len(b.stream(t, job.DefaultQueue)) != 0 || b.raw.Exists(b.ctx, b.key("job_state:job-0")).Val() != 0 {
				t.Error("something was written")
			}
			b.raw.Del(b.ctx, b.key("job_state:job-3"))
			r.RequestID = "r"
			for range 2 {
				p, _, err := b.broker.PublishBatch(b.ctx, r)
				if err != nil || len(p) != 5 || p[4].JobID != "job-4" {
					t.Fatal(p, err)
				}
			}
			for i := range 5 {
				key := fmt.Sprint("job_state:job-", i)
				state := b.hash(t, key)
				if ttl := b.raw.TTL(b.ctx, b.key(key)).Val(); state["a"] != "b" || state["status"] != "pending" || ttl < 50*time.Minute || ttl > time.Hour {
					t.Error(key, state, ttl)
				}
			}
			if d := b.read(t, "w", 10); len(d) != 5 {
				t.Error(len(d))
			}
			r.RequestID, r.Tasks = "", []job.Task{{JobID: "twin"}, {JobID: "twin"}}
			if _, _, err := b.broker.PublishBatch(b.ctx, r); !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), "tasks[1].job_id") {
				t.Error(err)
			}
			r.State.TTL = -time.Second
			if _, _, err := b.broker.PublishBatch(b.ctx, r); !errors.Is(err, job.ErrInvalid) {
				t.Error(err)
			}
		}
	})
}

// Calls that share a call of a script have outcomes of their own, also when Redis has
// forgotten the script.
func TestSharedCalls(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const jobs, twins = 100, 3
		var published, existed atomic.Int64
		var all sync.WaitGroup
		for i := range jobs * twins {
			all.Go(func() {
				_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i%jobs), ReportID: fmt.Sprint(i)},
					State: &job.InitialState{Fields: map[string]string{"by": fmt.Sprint(i)}}})
				var id *job.JobError
				switch {
				case err == nil:
					published.Add(1)
				case errors.As(err, &id) && id.JobID == fmt.Sprint("job-", i%jobs) && errors.Is(err, job.ErrJobExists):
					existed.Add(1)
				default:
					t.Error(err)
				}
				if i == 150 && e.Name == "redis" {
					b.raw.ScriptFlush(b.ctx)
				}
			})
		}
		all.Wait()
		if published.Load() != jobs || existed.Load() != jobs*(twins-1) {
			t.Error(published.Load(), existed.Load())
		}
		var got []queue.Delivery
		for len(got) < jobs {
			more := b.read(t, "w", 100)
			if len(more) == 0 {
				t.Fatal(len(got), "came")
			}
			got = append(got, more...)
		}
		for i, d := range got { // the state is that of the publish whose task there is
			if by := b.hash(t, "job_state:"+d.Task.JobID)["by"]; by != d.Task.ReportID {
				t.Error(d.Task, by)
			}
			for range twins {
				all.Go(func() {
					r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Fields: map[string]string{"i": fmt.Sprint(i)}})
					if err != nil {
						t.Error(err)
					}
					if r.Already {
						existed.Add(1)
					}
				})
			}
		}
		all.Wait()
		if existed.Load() != 2*jobs*(twins-1) {
			t.Error(existed.Load())
		}
		for i, d := range got {
			if events := b.stream(t, "argus_completion:"+d.Task.JobID); len(events) != 1 || events[0].Values["i"] != fmt.Sprint(i) {
				t.Fatal(events)
			}
		}
	})
}

// Calls on a client that is closed end, and those that are on their way then.
func TestCallsOnAClosedClient(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		var all sync.WaitGroup
		var refused atomic.Int64
		for i := range 50 {
			all.Go(func() {
				for n := 0; ; n++ {
					_, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i, "-", n)}, State: &job.InitialState{}})
					if err != nil {
						if !errors.Is(err, job.ErrUnavailable) && !errors.Is(err, job.ErrOutcomeUnknown) {
							t.Error(err)
						}
						refused.Add(1)
						return
					}
				}
			})
		}
		b.jitter(20)
		for range 2 {
			_ = b.client.Close()
		}
		all.Wait()
		if _, err := b.broker.Complete(b.ctx, "x", job.Result{}); err == nil || refused.Load() != 50 {
			t.Error(err, refused.Load())
		}
	})
}

// Tasks that suddenly are large are delivered all, none of them twice, and no answer is too
// large.
func TestTasksThatGrow(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for range 3 { // small ones, so that many are asked for at once
			b.publish(t, job.Task{})
			b.read(t, "w", 64)
		}
		const large = 20
		for i := range large {
			b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "job_id", fmt.Sprint("large-", i), "x", strings.Repeat("x", 500<<10)))
		}
		seen := make(map[string]int)
		for range 100 {
			bytes := 0
			for _, d := range b.read(t, "w", 64) {
				seen[d.Task.JobID] += d.Attempt
				bytes += len(d.Task.Attributes["x"])
			}
			if bytes > 3<<20 {
				t.Fatal("an answer of", bytes, "bytes")
			}
		}
		for i := range large {
			if n := seen[fmt.Sprint("large-", i)]; n != 1 {
				t.Errorf("large-%d: %d", i, n)
			}
		}
	})
}

// What another server does to a queue is seen by a read that does not know it yet.
func TestReadSeesWhatOthersDid(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		other := b.open(t, job.Settings{})
		for i := range 3 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
			b.publish(t, job.Task{JobID: fmt.Sprint("doomed-", i)})
		}
		if d := b.read(t, "w", 1); len(d) != 1 || d[0].Task.JobID != "job-0" {
			t.Fatal(d)
		}
		if err := other.Pause(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if d := b.read(t, "w", 10); len(d) != 0 {
				t.Fatal(d)
			}
		}
		for i := range 3 {
			if _, err := other.Cancel(b.ctx, fmt.Sprint("doomed-", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Resume(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]int)
		for range 10 {
			for _, d := range b.read(t, "w", 10) {
				seen[d.Task.JobID] += d.Attempt
			}
		}
		if len(seen) != 2 || seen["job-1"] != 1 || seen["job-2"] != 1 {
			t.Error(seen)
		}
		for i := range 3 {
			b.events(t, fmt.Sprint("doomed-", i), "cancelled")
		}
	})
}

// A publish reads for who waits. Whether he takes it, or leaves in this moment, no task is
// left leased to no consumer, and with nothing that looks for such it is found at once.
func TestPublishReadsForWhoWaits(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{Lease: time.Hour}})
		b.publish(t, job.Task{JobID: "first"}) // the group is made, and the size of tasks known
		b.ackAll(t, b.read(t, "w", 1)...)
		b.broker.Close()
		const readers, count = 3, 150
		got := make(chan queue.Delivery, count)
		ctx, cancel := context.WithCancel(b.ctx)
		var tasks sync.WaitGroup
		for i := range readers {
			tasks.Go(func() {
				for n := 0; ctx.Err() == nil; n++ {
					ctx, leave := context.WithCancel(ctx)
					time.AfterFunc(time.Duration(n%20)*100*time.Microsecond, leave)
					if i == 0 { // one stays
						ctx = b.ctx
					}
					deliveries, _ := b.broker.Read(ctx, queue.ReadRequest{Consumer: fmt.Sprint("w", i), Wait: time.Duration(1+n%3) * time.Millisecond})
					for _, d := range deliveries {
						got <- d
					}
					leave()
				}
			})
		}
		for i := range count {
			r := queue.PublishRequest{Task: job.Task{JobID: fmt.Sprint("job-", i)}}
			if i%2 == 0 {
				r.State = &job.InitialState{}
			}
			if _, _, err := b.broker.Publish(b.ctx, r); err != nil {
				t.Fatal(err)
			}
		}
		seen := make(map[string]bool)
		for len(seen) < count {
			select {
			case d := <-got:
				if seen[d.Task.JobID] {
					t.Error("twice:", d)
				}
				seen[d.Task.JobID] = true
				b.ackAll(t, d)
			case <-b.ctx.Done():
				t.Fatalf("%d of %d tasks came", len(seen), count)
			}
		}
		cancel()
		tasks.Wait()
		if n := b.pending(t); n != 0 {
			t.Errorf("%d tasks are left pending", n)
		}
	})
}

func (b *bundle) ackAll(t *testing.T, deliveries ...queue.Delivery) {
	t.Helper()
	for _, d := range deliveries {
		if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
			t.Error(r, err)
		}
	}
}
