package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// add appends an entry as a raw peer does.
func (b *bundle) add(t *testing.T, stream string, values ...any) string {
	t.Helper()
	id, err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key(stream), Values: values}).Result()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A queue of large tasks is worked off a few at a time; none is leased in vain.
func TestLargeTasksAreReadWithinTheirRoom(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		const tasks = 12
		big := strings.Repeat("x", job.MaxValueBytes)
		for i := range tasks {
			b.publish(t, job.Task{JobID: fmt.Sprint(i), Attributes: map[string]string{"big": big}})
		}
		next := 0
		for next < tasks {
			deliveries := b.read(t, "w", job.MaxBatch)
			if len(deliveries) == 0 || len(deliveries) > 3 {
				t.Fatalf("%d deliveries of 1 MiB", len(deliveries))
			}
			for _, d := range deliveries {
				if d.Task.JobID != fmt.Sprint(next) || d.Attempt != 1 {
					t.Fatalf("task %s, attempt %d, want %d and 1", d.Task.JobID, d.Attempt, next)
				}
				next++
				if r, err := b.broker.Ack(b.ctx, []string{d.Lease.Token()}); err != nil || r[0].Outcome != queue.Acked {
					t.Fatal(r, err)
				}
			}
		}
		for i := range 500 { // small ones come all at once
			b.publish(t, job.Task{JobID: fmt.Sprint(i)})
		}
		if n := len(b.read(t, "w", job.MaxBatch)); n != 500 {
			t.Error(n, "small tasks")
		}
	})
}

// What Publish takes, Read can deliver.
func TestTooLargeToDeliverIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queues: map[string]job.QueueSettings{"json": {Encoding: job.EncodingJSON}}})
		mib, quotes := strings.Repeat("x", job.MaxValueBytes), strings.Repeat("\"\n", 450<<10)
		for name, r := range map[string]queue.PublishRequest{
			"3 MiB": {Task: job.Task{Attributes: map[string]string{"a": mib, "b": mib, "c": mib[:job.MaxValueBytes-5]}}},
			"json":  {Task: job.Task{Attributes: map[string]string{"a": quotes, "b": quotes}}, PublishOptions: queue.PublishOptions{Queue: "json"}},
			"list":  {Task: job.Task{Scanners: []string{strings.Repeat("\x01", 600<<10)}}},
		} {
			_, _, err := b.broker.Publish(b.ctx, r)
			var argument *job.ArgumentError
			if !errors.As(err, &argument) || !strings.HasPrefix(argument.Field, "task") {
				t.Errorf("%s: %v", name, err)
			}
		}
		b.publish(t, job.Task{JobID: "fits", Attributes: map[string]string{"a": mib, "b": mib, "c": mib[:job.MaxValueBytes-1024]}})
		if d := b.readOne(t, "w"); d.Task.JobID != "fits" {
			t.Error(d.Task.JobID)
		}
	})
}

func TestGarbageDoesNotHoldUpItsNeighbours(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		many := []any{"job_id", "many"}
		for i := range 1100 {
			many = append(many, fmt.Sprint("f", i), "")
		}
		b.add(t, job.DefaultQueue, "job_id", "first")
		b.add(t, job.DefaultQueue, "job_id", "name", strings.Repeat("\xff", 1<<20), "x")
		b.add(t, job.DefaultQueue, many...)
		b.add(t, job.DefaultQueue, "job_id", "list", "scanners", strings.Repeat("a,", 1<<20))
		b.add(t, job.DefaultQueue, "job_id", "time", "argus_published_at", "999999999999999999")
		var jobs []string
		for range 3 { // they don't fit one answer
			for _, d := range b.read(t, "w", 10) {
				jobs = append(jobs, d.Task.JobID)
				if year := d.PublishedAt.Year(); year > 9999 {
					t.Error("published in", year)
				}
			}
		}
		if diff := cmp.Diff([]string{"first", "list", "time"}, jobs); diff != "" {
			t.Error(diff)
		}
		if n := len(b.stream(t, "argus_dead:"+job.DefaultQueue)); n != 2 {
			t.Error(n, "dead letters")
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("argus_dead:"+job.DefaultQueue)).Val(); ttl <= 0 {
			t.Error("dead letters live", ttl)
		}
		if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("far"), ID: "18446744073709551000-1", Values: []any{"job_id", "far"}}).Err(); err != nil {
			t.Fatal(err)
		}
		far, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "far", Consumer: "w"})
		if err != nil || len(far) != 1 || !far[0].PublishedAt.IsZero() {
			t.Error("an entry from the far future:", far, err)
		}
	})
}

// The scripts and the watch have one opinion on what a raw peer's JSON event says.
func TestOddJSONEvents(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for name, c := range map[string]struct {
			data     string
			terminal bool
		}{
			"latin-1":        {"{\"status\":\"completed\",\"x\":\"caf\xe9\"}", true},
			"lone surrogate": {`{"status":"completed","x":"caf\udce9"}`, true},
			"python's nan":   {`{"status":"completed","x":NaN}`, false},
			"control":        {"{\"status\":\"completed\",\"x\":\"a\tb\"}", false},
			"deep":           {`{"status":"failed","x":` + strings.Repeat("[", 2000) + strings.Repeat("]", 2000) + `}`, true},
			"running":        {`{"status":"running"}`, false},
			"list":           {`["completed"]`, false},
			"odd status":     {`{"status":{"completed":true}}`, false},
		} {
			id := b.add(t, "argus_completion:"+name, "data", c.data)
			w, _ := b.watch(t, name, "")
			if event := b.next(t, w); event.Cursor != id || w.Done() != c.terminal {
				t.Errorf("%s: watched %+v, want terminal %v", name, event, c.terminal)
			}
			r, err := b.broker.Report(b.ctx, name, job.Result{Status: job.StatusFailed})
			if err != nil || r.Already != c.terminal || (r.Cursor == id) != c.terminal {
				t.Errorf("%s: recorded %+v, %v, want already %v", name, r, err, c.terminal)
			}
		}
	})
}

// A job that has its result gets no other state by being run again.
func TestStateAgreesWithTheResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.report(t, "job", job.StatusPartial)
		b.publish(t, job.Task{JobID: "job"})
		token := b.readOne(t, "w").Lease.Token()
		if _, err := b.broker.Extend(b.ctx, token, map[string]string{"status": "running"}); err != nil {
			t.Fatal(err)
		}
		if r, err := b.broker.Complete(b.ctx, token, job.Result{Status: job.StatusFailed}); err != nil || !r.Already {
			t.Error(r, err)
		}
		if s := b.hash(t, "job_state:job"); s["status"] != "partial" {
			t.Error("state", s)
		}
	})
}

func TestDelayedFaults(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		queues, delayed := b.key("argus_queues:delayed"), b.key("argus_delayed:"+job.DefaultQueue)
		b.raw.Set(b.ctx, queues, "text", 0)
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Delay: time.Hour}); !errors.Is(err, job.ErrKeyType) {
			t.Error(err)
		}
		if n := b.raw.Exists(b.ctx, delayed).Val(); n != 0 {
			t.Error("a publish that failed left a task")
		}
		b.raw.Del(b.ctx, queues)
		b.raw.ZAdd(b.ctx, delayed, goredis.Z{Score: 1, Member: "garbage"}, goredis.Z{Score: 2, Member: "5:short"}, goredis.Z{Score: 3, Member: "1:u6:job_id"})
		if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: "job"}, Delay: time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		d, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Wait: longWait})
		if err != nil || len(d) != 1 || d[0].Task.JobID != "job" {
			t.Error(d, err)
		}
		if n := len(b.stream(t, "argus_dead:"+job.DefaultQueue)); n != 3 {
			t.Error(n, "dead letters")
		}
	})
}

func TestOwnPendingGoesOn(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			b.publish(t, job.Task{JobID: fmt.Sprint(i)})
		}
		for i, d := range b.read(t, "w", 5) { // held for different times
			if err := b.xclaim(d.Lease, time.Duration(50-i)*time.Second); err != nil {
				t.Fatal(err)
			}
		}
		var jobs []string
		for range 3 {
			own, err := b.broker.Read(b.ctx, queue.ReadRequest{Consumer: "w", Max: 2, OwnPending: true})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range own {
				jobs = append(jobs, d.Task.JobID)
			}
		}
		if got := strings.Join(jobs, ""); !strings.HasPrefix(got, "01234") {
			t.Error("own pending:", got)
		}
	})
}

func TestBadValuesOfGoCallers(t *testing.T) {
	t.Parallel()
	b := setup(t, redistest.Embedded(t), job.Settings{})
	far := time.Date(58000, 1, 1, 0, 0, 0, 0, time.UTC) // milliseconds taken for seconds
	huge := job.Lease{Prefix: b.engine.Prefix, Queue: "q", Group: "g", EntryID: "99999999999999999999-0", Consumer: "c", Count: 1, JobID: "j"}
	consumer, err := redis.NewStreamConsumer(b.client, redis.StreamConsumerConfig{Stream: "s", ConsumerGroup: "g", ConsumerName: "c"})
	if err != nil {
		t.Fatal(err)
	}
	publish := func(r queue.PublishRequest) error { _, _, err := b.broker.Publish(b.ctx, r); return err }
	_, streamErr := consumer.Publish(b.ctx, map[string]any{"scanners": []string{"a"}})
	_, tokenErr := b.broker.Complete(b.ctx, huge.Token(), job.Result{Status: job.StatusCompleted})
	for name, c := range map[string]struct{ err, want error }{
		"created_at": {publish(queue.PublishRequest{Task: job.Task{CreatedAt: far}, PublishOptions: queue.PublishOptions{RequestID: "r"}}), job.ErrInvalid},
		"run_at":     {publish(queue.PublishRequest{RunAt: far.AddDate(-70000, 0, 0), PublishOptions: queue.PublishOptions{RequestID: "r"}}), job.ErrInvalid},
		"stream":     {streamErr, job.ErrInvalid},
		"token":      {tokenErr, job.ErrLeaseToken},
		"ttl":        {job.Settings{DeadLetterTTL: 876000 * time.Hour}.Validate(), job.ErrInvalid},
	} {
		if !errors.Is(c.err, c.want) {
			t.Errorf("%s: %v, want %v", name, c.err, c.want)
		}
	}
}
