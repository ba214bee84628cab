package broker_test

import (
	"errors"
	"testing"
	"time"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// The marks of the parts' results, from which a lease token could be made, are never shown.
func TestLeaseMarksAreHidden(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		w, err := b.broker.WatchFrames("job", watch.Options{State: true})
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		d := b.readOne(t, "w")
		if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: d.Task.Part}); err != nil {
			t.Fatal(err)
		}
		mark := "argus_part:" + d.Task.Part
		if b.hash(t, "job_state:job")[mark] == "" {
			t.Fatal("there is no mark")
		}
		states := redis.NewStateManager(b.client, redis.StateManagerConfig{})
		all, err := b.broker.State(b.ctx, "job", nil)
		named, err2 := b.broker.State(b.ctx, "job", []string{mark, "argus_parts", "status"})
		raw, err3 := states.GetAllFields(b.ctx, "job")
		if err := errors.Join(err, err2, err3); err != nil {
			t.Fatal(err)
		}
		for how, fields := range map[string]map[string]string{"all": all.Fields, "named": named.Fields, "the manager's": raw} {
			if fields[mark] != "" || fields["argus_parts"] != "" || fields["status"] == "" {
				t.Errorf("%s: %q", how, fields)
			}
		}
		if value, err := b.broker.StateField(b.ctx, "job", mark); !errors.Is(err, job.ErrFieldNotFound) {
			t.Errorf("StateField: %+v, %v; want the error ErrFieldNotFound", value, err)
		}
		if value, err := states.GetField(b.ctx, "job", mark); !errors.Is(err, job.ErrFieldNotFound) {
			t.Errorf("GetField: %+v, %v; want the error ErrFieldNotFound", value, err)
		}
		for seen := false; !seen; {
			frame, err := w.Next(b.ctx, time.Minute)
			if err != nil || frame == nil {
				t.Fatalf("Next: %+v, %v; want frame set", frame, err)
			}
			if frame.State == nil {
				continue
			}
			if _, shown := frame.State.Fields[mark]; shown {
				t.Error("a watch shows the mark:", frame.State)
			}
			seen = frame.State.Fields[d.Task.Part+"_status"] == "completed"
		}
	})
}
