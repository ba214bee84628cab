package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// oldRequest is a request whose record an earlier version made.
func oldRequest() queue.PublishRequest {
	return queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "old"}, Delay: time.Minute,
		Task:  job.Task{JobID: "job", ReportID: "r", Scanners: []string{"a"}, Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff}}},
		State: &job.InitialState{Fields: map[string]string{"a": "b"}, TTL: time.Hour, Parts: []string{"p"}}}
}

// oldDigest is what that version recorded of it.
const oldDigest = "358de333862c83f76c0b56726b8fea86"

// A repetition is recognized by what it asks for, whatever the server filled in and however the
// queue has tasks encoded; and whatever else differs is another request.
func TestRequestDigest(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		full := oldRequest
		if _, _, err := b.broker.Publish(b.ctx, full()); err != nil {
			t.Fatal(err)
		}
		json := b.open(t, job.Settings{Queue: job.QueueSettings{Encoding: job.EncodingJSON}})
		for _, br := range []*broker.Broker{b.broker, json} {
			if p, again, err := br.Publish(b.ctx, full()); err != nil || !again || p.JobID != "job" {
				t.Error(p, again, err)
			}
		}
		for what, change := range map[string]func(r *queue.PublishRequest){
			"job":           func(r *queue.PublishRequest) { r.Task.JobID = "other" },
			"no job":        func(r *queue.PublishRequest) { r.Task.JobID = "" },
			"created":       func(r *queue.PublishRequest) { r.Task.CreatedAt = time.Unix(1, 0) },
			"scanners":      func(r *queue.PublishRequest) { r.Task.Scanners = []string{"a", "b"} },
			"attribute":     func(r *queue.PublishRequest) { r.Task.Attributes["k"] = "w" },
			"binary":        func(r *queue.PublishRequest) { r.Task.BinaryAttributes["b"] = []byte{0xfe} },
			"delay":         func(r *queue.PublishRequest) { r.Delay = 0 },
			"time":          func(r *queue.PublishRequest) { r.Delay, r.RunAt = 0, time.Now().Add(time.Minute) },
			"no state":      func(r *queue.PublishRequest) { r.State = nil },
			"state's field": func(r *queue.PublishRequest) { r.State.Fields["a"] = "c" },
			"state's TTL":   func(r *queue.PublishRequest) { r.State.TTL = time.Minute },
			"parts":         func(r *queue.PublishRequest) { r.State.Parts = nil },
		} {
			r := full()
			change(&r)
			if _, _, err := b.broker.Publish(b.ctx, r); !errors.Is(err, job.ErrRequestIDConflict) {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// What an earlier version recorded is a repetition still, under its key without the queue.
func TestRequestOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.Set(b.ctx, b.key("argus_request:old"), oldDigest+"\n\njob\n", time.Hour)
		r := oldRequest()
		if p, again, err := b.broker.Publish(b.ctx, r); err != nil || !again || p.JobID != "job" {
			t.Error(p, again, err)
		}
		r.Task.ReportID = "other"
		if _, _, err := b.broker.Publish(b.ctx, r); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Error(err)
		}
		s := shards(t, e, job.Settings{})
		b.raw.Set(b.ctx, s.claimKey("old", "old"), oldDigest, time.Hour)
		if _, _, err := s.Publish(s.ctx, r); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Error("a claim of an earlier version:", err)
		}
		if _, _, err := s.Publish(s.ctx, oldRequest()); err != nil {
			t.Error("a claim of an earlier version:", err)
		}
	})
}

// A request id belongs to its queue: no other queue's callers can take it, by whatever names.
func TestRequestIDsOfQueues(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i, id := range []string{"id", "1:a:id", "3:a:b:id", "b:id"} {
			for _, name := range []string{"a", "a:b", "victim"} {
				for round := range 2 {
					r := queue.PublishRequest{PublishOptions: queue.PublishOptions{Queue: name, RequestID: id}, Task: job.Task{JobID: fmt.Sprint(name, "-", i)}}
					if _, again, err := b.broker.Publish(b.ctx, r); err != nil || again != (round == 1) {
						t.Errorf("%s of %s, round %d: %t, %v", id, name, round, again, err)
					}
				}
			}
		}
	})
}

// The claim of a request id in all shards goes with what is recorded: it is there while a record
// is, and no longer.
func TestClaimFollowsTheRecord(t *testing.T) {
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
			t.Fatal(again, err)
		}
		if c, r := s.raw.PTTL(s.ctx, claim).Val(), s.raw.PTTL(s.ctx, record).Val(); r < 50*time.Minute || c < r || c > r+2*time.Minute {
			t.Errorf("the claim lives %s, the record %s", c, r)
		}
		// A refused request leaves no claim: its id may be used again.
		if _, _, err := s.Publish(s.ctx, request("refused", jobIn(0, 1), "")); !errors.Is(err, job.ErrQueueFull) {
			t.Fatal(err)
		}
		if _, _, err := s.Publish(s.ctx, request("refused", jobIn(1, 0), "other")); err != nil {
			t.Error(err)
		}
		// Nor does a batch that all shards refused; one that some recorded does.
		batch := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: "batch"}, Tasks: []job.Task{{JobID: jobIn(0, 2)}, {JobID: jobIn(1, 2)}}}
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrQueueFull) {
			t.Fatal(err)
		}
		batch.Tasks[0].JobID = jobIn(2, 2)
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrQueueFull) {
			t.Error("a batch that all shards refused claims its id:", err)
		}
		batch.Tasks[0].JobID = jobIn(0, 2)
		if _, _, err := s.PublishBatch(s.ctx, batch); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Error(err)
		}
	})
}

// claimKey is a claim in the shard of a request id.
func (s sharded) claimKey(requestID, name string) string {
	return s.engine.Shard(shardOf(requestID)) + "argus_claim:" + name
}
