package redis_test

import (
	"errors"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A token whose job was exchanged acts on neither job: the entry says whose task it is.
func TestTokenAimedAtAnotherJob(t *testing.T) {
	t.Parallel()
	for _, encoding := range []redis.Encoding{redis.EncodingFields, redis.EncodingJSON} {
		t.Run(string(encoding), func(t *testing.T) {
			redistest.Each(t, func(t *testing.T, e redistest.Engine) {
				b := setup(t, e, redis.BrokerConfig{Queue: redis.QueueConfig{Encoding: encoding, UniqueJobs: true}})
				for _, job := range []string{"mine", "victim"} {
					if _, _, err := b.broker.Publish(b.ctx, redis.PublishRequest{Task: redis.Task{JobID: job}, State: &redis.InitialState{}}); err != nil {
						t.Fatal(err)
					}
				}
				lease := b.readOne(t, "w").Lease
				aimed := lease
				aimed.JobID = "victim"
				token, done := aimed.Token(), redis.Result{Status: redis.StatusCompleted}
				_, completeErr := b.broker.Complete(b.ctx, token, done)
				_, extendErr := b.broker.Extend(b.ctx, token, map[string]string{"f": "v"})
				outcomes, err := b.broker.CompleteBatch(b.ctx, []redis.Completion{{Token: token, Result: done}, {Token: token, Result: done}})
				if err != nil {
					t.Fatal(err)
				}
				for what, err := range map[string]error{
					"Complete": completeErr, "Extend": extendErr, "SetState": b.broker.SetState(b.ctx, "victim", map[string]string{"f": "v"}, token),
					"Nack":             b.nack(redis.NackRequest{Token: token}),
					"dead letter":      b.nack(redis.NackRequest{Token: token, DeadLetter: true}),
					"first of a batch": outcomes[0].Err, "second of a batch": outcomes[1].Err,
				} {
					if !errors.Is(err, redis.ErrLeaseToken) {
						t.Errorf("%s: %v, want that the token is not valid", what, err)
					}
				}
				if r, err := b.broker.Ack(b.ctx, []string{token}); err != nil || r[0].Outcome != redis.Invalid {
					t.Error("Ack:", r, err)
				}
				for _, job := range []string{"mine", "victim"} {
					b.events(t, job)
					if s := b.hash(t, "job_state:"+job); s["status"] != "pending" || len(s) != 1 {
						t.Errorf("the state of %s: %v", job, s)
					}
				}
				if _, err := b.broker.Complete(b.ctx, lease.Token(), done); err != nil {
					t.Error("the honest token:", err)
				}
				if event, err := b.broker.Await(b.ctx, "mine", 0); err != nil || event == nil || event.Status != redis.StatusCompleted {
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
		b := setup(t, e, redis.BrokerConfig{})
		b.withParts(t, "job", "a", "b")
		lease := b.readOne(t, "w").Lease
		_, err := b.broker.Complete(b.ctx, lease.Token(), redis.Result{Status: redis.StatusCompleted, Part: "b"})
		if !errors.Is(err, redis.ErrInvalid) {
			t.Error(err)
		}
		b.events(t, "job")
		if _, err := b.broker.Complete(b.ctx, lease.Token(), redis.Result{Status: redis.StatusCompleted, Part: "a"}); err != nil {
			t.Error(err)
		}
	})
}
