package broker_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hikmaai-io/argus-queue/redis/broker"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A request id stands for one request: a repetition returns the first result, another body is refused.
func TestRepeatedRequestPublishesOnce(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		request := queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "req"}, Task: job.Task{ReportID: "r"}}
		first, again, err := b.broker.Publish(b.ctx, request)
		if err != nil || again || first.JobID == "" {
			t.Fatalf(`Publish: %+v, %+v, %v; want !again and first.JobID != ""`, first, again, err)
		}
		second, again, err := b.broker.Publish(b.ctx, request)
		if err != nil || !again || second != first {
			t.Error("repeated:", second, again, err)
		}
		request.Task.ReportID = "other"
		if _, _, err := b.broker.Publish(b.ctx, request); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Error("another body:", err)
		}
		if n := len(b.stream(t, job.DefaultQueue)); n != 1 {
			t.Error(n, "entries")
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("argus_request:16:argus_task_queue:req")).Val(); ttl <= 23*time.Hour || ttl > 24*time.Hour {
			t.Error("the record lives", ttl)
		}

		batch := queue.PublishBatchRequest{PublishOptions: queue.PublishOptions{RequestID: "batch"}, Tasks: []job.Task{{}, {JobID: "x"}}}
		p, _, err := b.broker.PublishBatch(b.ctx, batch)
		if err != nil || len(p) != 2 || p[1].JobID != "x" {
			t.Fatalf(`PublishBatch: %+v, %v; want len(p) == 2 and p[1].JobID == "x"`, p, err)
		}
		q, again, err := b.broker.PublishBatch(b.ctx, batch)
		if diff := cmp.Diff(p, q); err != nil || !again || diff != "" {
			t.Error("repeated batch:", err, diff)
		}
	})
}

// oldRequest is a request whose record an earlier version made.
func oldRequest() queue.PublishRequest {
	return queue.PublishRequest{PublishOptions: queue.PublishOptions{RequestID: "old"}, Delay: time.Minute,
		Task:  job.Task{JobID: "job", ReportID: "r", Scanners: []string{"a"}, Attributes: map[string]string{"k": "v"}, BinaryAttributes: map[string][]byte{"b": {0xff}}},
		State: &job.InitialState{Fields: map[string]string{"a": "b"}, TTL: time.Hour, Parts: []string{"p"}}}
}

// oldDigest is what that version recorded of it.
const oldDigest = "358de333862c83f76c0b56726b8fea86"

// A repetition is recognized by its content, whatever the server added and whichever encoding the queue has.
// A request that differs in anything is another one.
func TestRepetitionIsRecognizedByItsContent(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		full := oldRequest
		if _, _, err := b.broker.Publish(b.ctx, full()); err != nil {
			t.Fatal(err)
		}
		withJSON := b.open(t, job.Settings{Queue: job.QueueSettings{Encoding: job.EncodingJSON}})
		for _, server := range []*broker.Broker{b.broker, withJSON} {
			if p, again, err := server.Publish(b.ctx, full()); err != nil || !again || p.JobID != "job" {
				t.Errorf(`full: %+v, %+v, %v; want again and p.JobID == "job"`, p, again, err)
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

// What an earlier version recorded under a key without the queue still identifies a repetition.
func TestRecordsOfAnEarlierVersionCount(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.raw.Set(b.ctx, b.key("argus_request:old"), oldDigest+"\n\njob\n", time.Hour)
		r := oldRequest()
		if p, again, err := b.broker.Publish(b.ctx, r); err != nil || !again || p.JobID != "job" {
			t.Errorf(`Publish: %+v, %+v, %v; want again and p.JobID == "job"`, p, again, err)
		}
		r.Task.ReportID = "other"
		if _, _, err := b.broker.Publish(b.ctx, r); !errors.Is(err, job.ErrRequestIDConflict) {
			t.Errorf("Publish: %v; want the error ErrRequestIDConflict", err)
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

// A request id belongs to its queue: no other queue's request can use it, whatever the names.
func TestRequestIDBelongsToItsQueue(t *testing.T) {
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
