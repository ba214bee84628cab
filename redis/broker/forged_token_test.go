package broker_test

import (
	"errors"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// A token whose job was exchanged acts on neither job: the entry says whose task it is.
func TestTokenOfAnotherJobIsRefused(t *testing.T) {
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
					t.Errorf("Await: %+v, %v; want an event and event.Status == job.StatusCompleted", event, err)
				}
			})
		})
	}
}

// A lease of one part reports no other part.
func TestTokenOfAnotherPartIsRefused(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		lease := b.readOne(t, "w").Lease
		_, err := b.broker.Complete(b.ctx, lease.Token(), job.Result{Status: job.StatusCompleted, Part: "b"})
		if !errors.Is(err, job.ErrInvalid) {
			t.Errorf("Complete: %v; want the error ErrInvalid", err)
		}
		b.events(t, "job")
		if _, err := b.broker.Complete(b.ctx, lease.Token(), job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil {
			t.Error(err)
		}
	})
}
