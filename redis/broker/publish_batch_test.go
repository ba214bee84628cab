package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// A publish creates the job's state in the same step, or fails without publishing.
func TestPublishCreatesTheInitialState(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		request := queue.PublishRequest{Task: job.Task{JobID: "job"}, State: &job.InitialState{Fields: map[string]string{"a": "1"}, TTL: time.Hour}}
		if _, _, err := b.broker.Publish(b.ctx, request); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"a": "1", "status": "pending"}, b.hash(t, "job_state:job")); diff != "" {
			t.Error(diff)
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("job_state:job")).Val(); ttl <= 0 || ttl > time.Hour {
			t.Error("lives", ttl)
		}
		if _, _, err := b.broker.Publish(b.ctx, request); !errors.Is(err, job.ErrJobExists) {
			t.Error("again:", err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "entries")
		}
	})
}

// A batch is published with a state for each job, or not at all.
func TestBatchIsPublishedWithAllStatesOrNot(t *testing.T) {
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
			var jobErr *job.JobError
			if !errors.Is(err, job.ErrJobExists) || !errors.As(err, &jobErr) || jobErr.JobID != "job-3" {
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
					t.Fatalf(`PublishBatch: %+v, %v; want len(p) == 5 and p[4].JobID == "job-4"`, p, err)
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
				t.Errorf("read: %+v; want len(d) == 5", len(d))
			}
			r.RequestID, r.Tasks = "", []job.Task{{JobID: "twin"}, {JobID: "twin"}}
			if _, _, err := b.broker.PublishBatch(b.ctx, r); !errors.Is(err, job.ErrInvalid) || !strings.Contains(err.Error(), "tasks[1].job_id") {
				t.Errorf(`PublishBatch: %v; want the error ErrInvalid and strings.Contains(err.Error(), "tasks[1].job_id")`, err)
			}
			r.State.TTL = -time.Second
			if _, _, err := b.broker.PublishBatch(b.ctx, r); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("PublishBatch: %v; want the error ErrInvalid", err)
			}
		}
	})
}

// An invalid task is named by its index in the whole batch, and nothing is written. When some shards refuse
// their tasks, the outcome of the batch is unknown, or with a request id that of the refusal.
func TestBatchThatAShardRefuses(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		tasks := []job.Task{{JobID: jobIn(0, 0)}, {JobID: jobIn(1, 0)}, {JobID: "{bad}"}}
		var argument *job.ArgumentError
		if _, _, err := s.PublishBatch(s.ctx, queue.PublishBatchRequest{Tasks: tasks}); !errors.As(err, &argument) || argument.Field != "tasks[2].job_id" {
			t.Errorf(`PublishBatch: %v; want errors.As(err, &argument) and argument.Field == "tasks[2].job_id"`, err)
		}
		for i := range shardCount {
			if n := s.raw.XLen(s.ctx, s.engine.Shard(i)+job.DefaultQueue).Val(); n != 0 {
				t.Errorf("shard %d has %d tasks", i, n)
			}
		}
		if _, err := s.InitState(s.ctx, state.InitRequest{JobID: jobIn(1, 0)}); err != nil {
			t.Fatal(err)
		}
		r := queue.PublishBatchRequest{Tasks: tasks[:2], State: &job.InitialState{}}
		if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrOutcomeUnknown) {
			t.Errorf("PublishBatch: %v; want the error ErrOutcomeUnknown", err)
		}
		r.Tasks = tasks[1:2]
		if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrJobExists) {
			t.Errorf("PublishBatch: %v; want the error ErrJobExists", err)
		}
		r.Tasks = []job.Task{{JobID: jobIn(2, 0)}, {JobID: jobIn(1, 0)}}
		r.RequestID = "r"
		for range 2 {
			if _, _, err := s.PublishBatch(s.ctx, r); !errors.Is(err, job.ErrJobExists) {
				t.Errorf("PublishBatch: %v; want the error ErrJobExists", err)
			}
		}
		if n := s.raw.XLen(s.ctx, s.engine.Shard(2)+job.DefaultQueue).Val(); n != 1 {
			t.Errorf("%d tasks for one request", n)
		}
	})
}
