package broker_test

import (
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

const shardCount = 4

// sharded is a bundle without a broker, and with shards.
type sharded struct {
	*bundle
	*broker.Broker
}

func shards(t *testing.T, e redistest.Engine, config job.Settings) sharded {
	t.Helper()
	e.Base, e.Shards = e.Prefix, shardCount
	b := &bundle{ctx: redistest.Context(t), engine: e, raw: e.Raw(t)}
	return sharded{b, openShards(t, patient(redis.Config{Addr: e.Addr, Username: e.Username, Password: e.Password, Prefix: e.Base, Shards: shardCount}), config)}
}

func openShards(t *testing.T, at redis.Config, config job.Settings) *broker.Broker {
	t.Helper()
	client, err := redis.NewClient(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	config.Logger = slog.New(slog.DiscardHandler)
	s, err := broker.New(redistest.Context(t), client, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// shardOf is how a raw peer finds a job's shard.
func shardOf(id string) int { return int(crc32.ChecksumIEEE([]byte(id)) % shardCount) }

// jobIn makes the nth id of a job that lies in a shard.
func jobIn(shard, n int) string {
	for i := 0; ; i++ {
		if id := fmt.Sprintf("job-%d-%d", n, i); shardOf(id) == shard {
			return id
		}
	}
}

func (s sharded) publishAll(t *testing.T, requestID string, jobs ...string) ([]queue.Published, bool) {
	t.Helper()
	r := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: requestID}}
	for _, id := range jobs {
		r.Tasks = append(r.Tasks, job.Task{JobID: id})
	}
	p, deduplicated, err := s.PublishBatch(s.ctx, r)
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range jobs {
		if id != "" && p[i].JobID != id || p[i].EntryID == "" {
			t.Errorf("task %d of %s was published as %v", i, id, p[i])
		}
	}
	return p, deduplicated
}

// spread is two jobs of each shard.
func spread() (jobs []string) {
	for n := range 2 {
		for i := range shardCount {
			jobs = append(jobs, jobIn(i, n))
		}
	}
	return jobs
}

func (s sharded) readAll(t *testing.T, n int) []queue.Delivery {
	t.Helper()
	var all []queue.Delivery
	for len(all) < n {
		d, err := s.Read(s.ctx, queue.ReadRequest{Consumer: "w", Max: 3, Wait: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d...)
	}
	return all
}

// The tasks of a batch lie in the shards of their jobs, and all calls that list leases find them there.
func TestBatchIsSpreadOverTheShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		s.publishAll(t, "", spread()...)
		for i := range shardCount {
			if n := s.raw.XLen(s.ctx, s.engine.Shard(i)+job.DefaultQueue).Val(); n != 2 {
				t.Errorf("shard %d has %d tasks, want 2", i, n)
			}
		}
		if q, err := s.Queue(s.ctx, ""); err != nil || q.Waiting != 8 {
			t.Errorf("queue %+v, %v, want 8 waiting", q, err)
		}
		s.readAll(t, 8)
		if held, err := s.Held(s.ctx, "", "", "w"); err != nil || len(held.Leases) != 8 {
			t.Errorf("held %+v, %v, want 8 leases", held, err)
		}
		if pending, err := s.Pending(s.ctx, "", "", "", 100); err != nil || len(pending) != 8 {
			t.Errorf("%d pending, %v, want 8", len(pending), err)
		}
	})
}

// Leases of all shards are extended and completed in one call, and one watcher sees all results.
func TestTasksOfAllShardsAreCompletedAndWatched(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := spread()
		s.publishAll(t, "", jobs...)
		w := s.Watches()
		defer w.Close()
		for _, id := range jobs {
			if err := w.Add(id, watch.Options{State: true}); err != nil {
				t.Fatal(err)
			}
		}
		var completions []result.Completion
		for _, d := range s.readAll(t, 8) {
			if _, err := s.Extend(s.ctx, d.Lease.Token(), map[string]string{"step": "1"}); err != nil {
				t.Error(err)
			}
			completions = append(completions, result.Completion{Token: d.Lease.Token(), Result: job.Result{Status: job.StatusCompleted}})
		}
		outcomes, err := s.CompleteBatch(s.ctx, completions)
		if err != nil || slices.ContainsFunc(outcomes, func(o result.Outcome) bool { return o.Err != nil }) {
			t.Errorf("outcomes %+v, %v, want no errors", outcomes, err)
		}
		for done := 0; done < len(jobs); {
			frame, err := w.Next(s.ctx, time.Minute)
			if err != nil || frame == nil || frame.Err != nil {
				t.Fatalf("after %d results: frame %+v, %v", done, frame, err)
			}
			if frame.Done {
				done++
			}
		}
		for _, id := range jobs {
			if event, err := s.Await(s.ctx, id, 0); err != nil || event == nil || event.Status != job.StatusCompleted {
				t.Errorf("%s: Await returned %+v, %v", id, event, err)
			}
			if step, err := s.StateField(s.ctx, id, "step"); err != nil || step != "1" {
				t.Errorf("%s: step %q, %v", id, step, err)
			}
		}
	})
}

// One Ack of tokens of several shards has an outcome for each, in their order.
func TestAckOfSeveralShardsKeepsTheOrder(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		s.publishAll(t, "", jobIn(0, 0), jobIn(1, 0))
		d := s.readAll(t, 2)
		one, two := d[0].Lease.Token(), d[1].Lease.Token()
		acked, err := s.Ack(s.ctx, []string{one, two, "garbage", one})
		if err != nil {
			t.Fatal(err)
		}
		var words []string
		for _, a := range acked {
			words = append(words, string(a.Outcome))
		}
		if got := strings.Join(words, " "); got != "ACKED ACKED INVALID NOT_PENDING" && got != "ACKED ACKED INVALID ACKED" {
			t.Errorf("outcomes %s: the token that occurs twice may be pending for both", got)
		}
	})
}

// Cancellations in any shard are reported to a subscription and found among many jobs.
func TestCancellationsOfAllShardsAreReported(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := spread()
		s.publishAll(t, "", jobs...)
		s.readAll(t, 8)
		cancellations := s.Cancellations()
		defer cancellations.Close()
		for _, id := range jobs[:3] {
			if c, err := s.Cancel(s.ctx, id, "enough"); err != nil || c.Was != job.StatusRunning {
				t.Errorf("Cancel: %+v, %v; want c.Was == job.StatusRunning", c, err)
			}
			select {
			case <-cancellations.Mail():
			case <-s.ctx.Done():
				t.Fatal("the subscription did not report the cancellation")
			}
		}
		found, err := s.CancelledAmong(s.ctx, jobs)
		if slices.Sort(found); err != nil || !slices.Equal(found, slices.Sorted(slices.Values(jobs[:3]))) {
			t.Error(found, err)
		}
	})
}

// Each shard has its part of a queue's limits.
func TestShardsShareTheLimitsOfAQueue(t *testing.T) {
	t.Parallel()
	s := shards(t, redistest.Embedded(t), job.Settings{Queue: job.QueueSettings{MaxLength: 8}})
	s.publishAll(t, "", spread()...)
	for i := range shardCount {
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{Task: job.Task{JobID: jobIn(i, 50)}}); !errors.Is(err, job.ErrQueueFull) {
			t.Errorf("Publish: %+v, %v; want the error ErrQueueFull", i, err)
		}
	}
}
