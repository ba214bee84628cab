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

// With several shards a request id is claimed as long as some shard has a record of the request: a refused
// request leaves its id free.
func TestRequestClaimLivesAsLongAsTheRecord(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{Queue: job.QueueSettings{MaxLength: shardCount}, RequestWindow: time.Hour})
		request := func(id, jobID, report string) queue.PublishRequest {
			return queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: id}, Task: job.Task{JobID: jobID, ReportID: report}}
		}
		// A repetition keeps both.
		if _, _, err := s.Publish(s.ctx, request("id", jobIn(0, 0), "")); err != nil {
			t.Fatal(err)
		}
		claim, record := s.claimKey("id", "16:argus_task_queue:id"), s.engine.Shard(0)+"argus_request:16:argus_task_queue:id"
		s.raw.PExpire(s.ctx, claim, time.Minute)
		s.raw.PExpire(s.ctx, record, time.Minute)
		if _, again, err := s.Publish(s.ctx, request("id", jobIn(0, 0), "")); err != nil || !again {
			t.Fatalf("Publish: %+v, %v; want again", again, err)
		}
		if c, r := s.raw.PTTL(s.ctx, claim).Val(), s.raw.PTTL(s.ctx, record).Val(); r < 50*time.Minute || c < r || c > r+2*time.Minute {
			t.Errorf("the claim lives %s, the record %s", c, r)
		}
		// A refused request leaves no claim: its id may be used again.
		if _, _, err := s.Publish(s.ctx, request("refused", jobIn(0, 1), "")); !errors.Is(err, job.ErrQueueFull) {
			t.Fatalf("Publish: %v; want the error ErrQueueFull", err)
		}
		if _, _, err := s.Publish(s.ctx, request("refused", jobIn(1, 0), "other")); err != nil {
			t.Error(err)
		}
		// Nor does a batch that all shards refused; one that some recorded does.
		batch := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: "batch"}, Tasks: []job.Task{{JobID: jobIn(0, 2)}, {JobID: jobIn(1, 2)}}}
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrQueueFull) {
			t.Fatalf("PublishBatch: %v; want the error ErrQueueFull", err)
		}
		batch.Tasks[0].JobID = jobIn(2, 2)
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrQueueFull) {
			t.Error("a batch that all shards refused claims its id:", err)
		}
		batch.Tasks[0].JobID = jobIn(0, 2)
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Errorf("PublishBatch: %v; want the error ErrRequestIDConflict", err)
		}
	})
}

// claimKey is a claim in the shard of a request id.
func (s sharded) claimKey(requestID, name string) string {
	return s.engine.Shard(shardOf(requestID)) + "argus_claim:" + name
}

// With several shards a request id still stands for one request, wherever its jobs lie.
func TestRequestIDStandsForOneRequestInAllShards(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		s := shards(t, e, job.Settings{})
		jobs := append(spread(), "", "")
		first, deduplicated := s.publishAll(t, "batch", jobs...)
		if deduplicated {
			t.Error("the first was taken for a repetition")
		}
		if first[8].JobID == "" || first[9].JobID == "" || shardOf(first[8].JobID) != shardOf(first[9].JobID) {
			t.Error("tasks without a job id lie apart:", first[8:])
		}
		second, deduplicated := s.publishAll(t, "batch", jobs...)
		if !deduplicated || !slices.Equal(first, second) {
			t.Errorf("%v the second time, %v the first", second, first)
		}
		for i := range 5 { // wherever the jobs lie, an id stands for one request
			id := queue.PublishOptions{RequestID: fmt.Sprint("one", i)}
			one, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn(i%shardCount, 100)}})
			if err != nil {
				t.Fatal(err)
			}
			again, deduplicated, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn(i%shardCount, 100)}})
			if err != nil || !deduplicated || again != one {
				t.Errorf("Publish: %+v, %+v, %v; want deduplicated and again == one", again, deduplicated, err)
			}
			if _, _, err = s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: jobIn((i+1)%shardCount, 100)}}); !errors.Is(err, job.ErrRequestIDConflict) {
				t.Error("another job under the same request id:", err)
			}
			id.RequestID += "made"
			made, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id})
			if err != nil || made.JobID == "" {
				t.Fatalf(`Publish: %+v, %v; want made.JobID != ""`, made, err)
			}
			again, deduplicated, err = s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id})
			if err != nil || !deduplicated || again != made {
				t.Errorf("Publish: %+v, %+v, %v; want deduplicated and again == made", again, deduplicated, err)
			}
		}
		// What is refused claims no id.
		id := queue.PublishOptions{RequestID: "refused"}
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id, Task: job.Task{JobID: "{bad}"}}); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("Publish: %v; want the error ErrInvalid", err)
		}
		if _, _, err := s.Publish(s.ctx, queue.PublishRequest{PublishOptions: id}); err != nil {
			t.Error(err)
		}
	})
}

// Where there is one shard, a publish with a request id runs one script, which keeps the record of the
// request, and claims nothing. Several shards need a claim in the shard of the request id as well.
func TestOneShardMakesNoRequestClaim(t *testing.T) {
	t.Parallel()
	eachShardCount(t, func(t *testing.T, r recorded) {
		want := []string{"publish"}
		if len(r.shards) > 1 {
			want = []string{"claim", "publish"}
		}
		for n := range 3 { // the first makes Redis know the scripts
			request := queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: fmt.Sprint("request-", n)}, Task: job.Task{JobID: r.jobIn(0, n)}}
			r.take()
			if _, _, err := r.broker.Publish(r.ctx, request); err != nil {
				t.Fatal(err)
			}
			if sent := r.take(); n > 0 && !slices.EqualFunc(sent, want, func(sent, script string) bool { return strings.HasPrefix(sent, script+" ") }) {
				t.Errorf("publish %d sent %q, want the scripts %q", n, sent, want)
			}
			batch := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: fmt.Sprint("batch-", n)}, Tasks: []job.Task{{JobID: r.jobIn(0, 10+n)}, {}}}
			if _, _, err := r.broker.PublishBatch(r.ctx, batch); err != nil {
				t.Fatal(err)
			}
			if sent := r.take(); n > 0 && len(r.shards) == 1 && len(sent) != 1 {
				t.Errorf("batch %d sent %q, want one script", n, sent)
			}
		}
		for i, prefix := range r.shards {
			if claims := r.raw.Keys(r.ctx, prefix+"argus_claim:*").Val(); len(r.shards) == 1 && len(claims) > 0 {
				t.Errorf("shard %d has the claims %q", i, claims)
			}
		}
	}, 0, 1, shardCount)
}
