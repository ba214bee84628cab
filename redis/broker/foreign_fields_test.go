package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Names that begin with "argus_" but are not reserved are fields like any: the main state field of existing
// workers is one of them.
func TestForeignFieldsWithTheReservedPrefixAreKept(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{Queue: job.QueueSettings{RetryMin: time.Millisecond}})
		const name = "argus_status"
		b.raw.HSet(b.ctx, b.key("job_state:job"), name, "scanning", "argus_parts", "own")
		state, err := b.broker.State(b.ctx, "job", nil)
		if err != nil || state.Fields[name] != "scanning" || len(state.Fields) != 1 {
			t.Errorf(`State: %+v, %v; want state.Fields[name] == "scanning" and len(state.Fields) == 1`, state, err)
		}
		if err := b.broker.SetState(b.ctx, "job", map[string]string{name: "done"}, ""); err != nil {
			t.Error(err)
		}
		for _, own := range []string{"argus_parts", "argus_part:x", "argus_lease", "argus_attempt"} {
			if err := b.broker.SetState(b.ctx, "job", map[string]string{own: "x"}, ""); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("%s: %v", own, err)
			}
		}
		// A task keeps such a field through a retry, a death and a redrive, and an event has it.
		b.publish(t, job.Task{JobID: "task", Attributes: map[string]string{name: "queued"}})
		d := b.readOne(t, "w")
		for _, dead := range []bool{false, true} {
			if d.Task.Attributes[name] != "queued" {
				t.Fatal(d.Task)
			}
			if err := b.nack(queue.NackRequest{Token: d.Lease.Token(), DeadLetter: dead, Reason: "why"}); err != nil {
				t.Fatal(err)
			}
			if dead {
				if _, err := b.broker.Redrive(b.ctx, "", true, nil); err != nil {
					t.Fatal(err)
				}
			}
			d = b.readOne(t, "w")
		}
		if d.Task.Attributes[name] != "queued" {
			t.Fatal(d.Task)
		}
		result := job.Result{Status: job.StatusCompleted, Fields: map[string]string{name: "done"}}
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), result); err != nil {
			t.Fatal(err)
		}
		if event, err := b.broker.Await(b.ctx, "task", 0); err != nil || event.Fields[name] != "done" {
			t.Errorf(`Await: %+v, %v; want event.Fields[name] == "done"`, event, err)
		}
	})
}
