package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// A token whose job was exchanged acts on neither job: the entry says whose task it is.
func TestTokenAimedAtAnotherJob(t *testing.T) {
	t.Parallel()
	for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
		t.Run(string(encoding), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, e redistest.Engine) {
				b := setup(t, e, job.Settings{Queue: job.QueueSettings{Encoding: encoding, UniqueJobs: true}})
				for _, id := range []string{"mine", "victim"} {
					if _, _, err := b.broker.Publish(b.ctx, queue.PublishRequest{Task: job.Task{JobID: id}, State: &job.InitialState{}}); err != nil {
						t.Fatal(err)
					}
				}
				lease := b.readOne(t, "w").Lease
				aimed := lease
				aimed.JobID = "victim"
				token, done := aimed.Token(), job.Result{Status: job.StatusCompleted}
				_, completeErr := b.broker.Complete(b.ctx, token, done)
				_, extendErr := b.broker.Extend(b.ctx, token, map[string]string{"f": "v"})
				outcomes, err := b.broker.CompleteBatch(b.ctx, []result.Completion{{Token: token, Result: done}, {Token: token, Result: done}})
				if err != nil {
					t.Fatal(err)
				}
				for what, err := range map[string]error{
					"Complete": completeErr, "Extend": extendErr, "SetState": b.broker.SetState(b.ctx, "victim", map[string]string{"f": "v"}, token),
					"Nack":             b.nack(queue.NackRequest{Token: token}),
					"dead letter":      b.nack(queue.NackRequest{Token: token, DeadLetter: true}),
					"first of a batch": outcomes[0].Err, "second of a batch": outcomes[1].Err,
				} {
					if !errors.Is(err, job.ErrLeaseToken) {
						t.Errorf("%s: %v, want that the token is not valid", what, err)
					}
				}
				if r, err := b.broker.Ack(b.ctx, []string{token}); err != nil || r[0].Outcome != queue.Invalid {
					t.Error("Ack:", r, err)
				}
				for _, id := range []string{"mine", "victim"} {
					b.events(t, id)
					if s := b.hash(t, "job_state:"+id); s["status"] != "pending" || len(s) != 1 {
						t.Errorf("the state of %s: %v", id, s)
					}
				}
				if _, err := b.broker.Complete(b.ctx, lease.Token(), done); err != nil {
					t.Error("the honest token:", err)
				}
				if event, err := b.broker.Await(b.ctx, "mine", 0); err != nil || event == nil || event.Status != job.StatusCompleted {
					t.Error(event, err)
				}
			})
		})
	}
}

// A lease of one part reports no other part.
func TestTokenOfAnotherPart(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		lease := b.readOne(t, "w").Lease
		_, err := b.broker.Complete(b.ctx, lease.Token(), job.Result{Status: job.StatusCompleted, Part: "b"})
		if !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
		b.events(t, "job")
		if _, err := b.broker.Complete(b.ctx, lease.Token(), job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil {
			t.Error(err)
		}
	})
}

// A raw producer's job id that is a number is told from other numbers of that name; where it can't
// be, the lease is believed, so that the task can be settled.
func TestNumericJobIDs(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for _, data := range []string{`{"job_id": 7}`, `{"parent":{"job_id": 5},"job_id": 7}`, `{"job_id":5,"job_id":7}`, `{"parent":{"job_id":5},"job\u005fid":7}`} {
			b.raw.Del(b.ctx, b.key("argus_completion:7"), b.key("argus_scan:7"))
			b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "data", data))
			d := b.readOne(t, "w")
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil || d.Task.JobID != "7" {
				t.Errorf("%s: job %q: %v", data, d.Task.JobID, err)
			}
		}
	})
}

// A token that occurs twice in one call settles its task once: of a unique job with tasks for two
// groups, the mark stays until both have settled theirs.
func TestTokenTwiceInABatch(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setupUnique(t, e)
		b.publishes(t, "new", true)
		read := func(group string) queue.Delivery {
			d, err := b.broker.Read(b.ctx, queue.ReadRequest{Group: group, Consumer: "w", Max: 1})
			if err != nil || len(d) != 1 {
				t.Fatal(d, err)
			}
			return d[0]
		}
		one, two := read("one"), read("two")
		for _, d := range []queue.Delivery{one, two} { // each gives it back: two entries
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), Delay: new(time.Duration)}); err != nil {
				t.Fatal(err)
			}
		}
		done := result.Completion{Token: read("one").Lease.Token(), Result: job.Result{Status: job.StatusCompleted}}
		outcomes, err := b.broker.CompleteBatch(b.ctx, []result.Completion{done, done})
		if err != nil || outcomes[0].Err != nil || outcomes[0].Already || outcomes[1].Err != nil || !outcomes[1].Already {
			t.Fatal(outcomes, err)
		}
		b.publishes(t, "the other group's is unsettled", false)
		b.acks(t, read("two"))
		b.publishes(t, "settled by both", true)
	})
}
