package server_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A Redis that is a replica, or still loads its data, is told as away, and is used again as
// soon as it can be.
func TestReplicaAndLoading(t *testing.T) {
	t.Parallel()
	// What is loaded takes a while, and Redis answers meanwhile.
	own := redistest.Own(t, "--key-load-delay", "2000", "--loading-process-events-interval-bytes", "1024")
	b := setup(t, own.Engine())
	publish := func() error {
		_, err := b.queue.Publish(b.ctx, &argusv1.PublishRequest{Task: &argusv1.Task{}, RequestId: "r"})
		return err
	}
	await := func(what string, done func() bool) {
		t.Helper()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for !done() {
			select {
			case <-tick.C:
			case <-b.ctx.Done():
				t.Fatal(what, "did not happen in time")
			}
		}
	}
	if err := b.raw.ReplicaOf(b.ctx, "127.0.0.1", "1").Err(); err != nil {
		t.Fatal(err)
	}
	err := publish()
	if w := expect(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE); !w.retryable || strings.Contains(err.Error(), "READONLY") {
		t.Error(w, err)
	}
	if err := b.raw.ReplicaOf(b.ctx, "NO", "ONE").Err(); err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Error("after it is a master again:", err)
	}
	for i := range 300 {
		b.raw.Set(b.ctx, b.key(strings.Repeat("x", 200)+string(rune('a'+i%26))+time.Now().String()), strings.Repeat("x", 500), 0)
	}
	if err := b.raw.Save(b.ctx).Err(); err != nil {
		t.Fatal(err)
	}
	own.Kill()
	started := make(chan error, 1)
	go func() { started <- own.Start() }()
	await("the loading", func() bool {
		err := b.raw.Get(b.ctx, "x").Err()
		return err != nil && strings.HasPrefix(err.Error(), "LOADING")
	})
	err = publish()
	if w := expect(t, err, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE); !w.retryable || strings.Contains(err.Error(), "LOADING") {
		t.Error(w, err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if err := publish(); err != nil {
		t.Error("after it has loaded:", err)
	}
}

// A worker that lost its lease can't write the job's state.
func TestFencedState(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "job")
		token := b.readOne(t).GetLeaseToken()
		writes := map[string]func() error{
			"SetField": func() error {
				_, err := b.state.SetField(b.ctx, &argusv1.SetFieldRequest{JobId: "job", Field: "a", Value: "1", LeaseToken: token})
				return err
			},
			"SetFields": func() error {
				_, err := b.state.SetFields(b.ctx, &argusv1.SetFieldsRequest{JobId: "job", Fields: map[string]string{"a": "1"}, LeaseToken: token})
				return err
			},
			"SetJSON": func() error {
				_, err := b.state.SetJSON(b.ctx, &argusv1.SetJSONRequest{JobId: "job", Field: "a", Input: &argusv1.SetJSONRequest_Json{Json: "1"}, LeaseToken: token})
				return err
			},
		}
		for name, write := range writes {
			if err := write(); err != nil {
				t.Error(name, err)
			}
		}
		if _, err := b.queue.Complete(b.ctx, &argusv1.CompleteRequest{LeaseToken: token, Status: completed}); err != nil {
			t.Fatal(err)
		}
		before := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val()
		for name, write := range writes {
			expect(t, write(), codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST)
			if after := b.raw.HGetAll(b.ctx, b.key("job_state:job")).Val(); len(after) != len(before) {
				t.Error(name, "wrote", after)
			}
		}
	})
}
