package broker_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// refused checks the error of a write that would make a state too large.
func refused(t *testing.T, err error, field string) {
	t.Helper()
	var argument *job.ArgumentError
	if !errors.As(err, &argument) || argument.Field != field || !strings.Contains(argument.Problem, "nothing was written") {
		t.Errorf("%v, want a refusal of %s", err, field)
	}
}

// A state is limited in bytes, whatever call writes it; a result is never refused.
func TestStateIsLimitedInBytes(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		mib := strings.Repeat("x", 1<<20)
		set := func(id string, fields map[string]string) error { return b.broker.SetState(b.ctx, id, fields, "") }
		for _, name := range []string{"a", "b"} {
			if err := set("job", map[string]string{name: mib}); err != nil {
				t.Fatal(err)
			}
		}
		if err := set("job", map[string]string{"c": mib[:1<<20-10]}); err != nil { // to the last bytes
			t.Fatal(err)
		}
		before := b.hash(t, "job_state:job")
		refused(t, set("job", map[string]string{"small": "x", "d": strings.Repeat("x", 5000)}), `fields["d"]`)
		refused(t, set("job", map[string]string{"d": mib}), `fields["d"]`)
		b.publish(t, job.Task{JobID: "job"})
		token := b.readOne(t, "w").Lease.Token()
		_, err := b.broker.Extend(b.ctx, token, map[string]string{"d": mib})
		refused(t, err, `progress_fields["d"]`)
		refused(t, b.broker.SetState(b.ctx, "job", map[string]string{"d": mib}, token), `fields["d"]`)
		if after := b.hash(t, "job_state:job"); len(after) != len(before) {
			t.Error(len(after), "fields, had", len(before))
		}
		// What takes the place of something as large fits, and so does what is small.
		if err := set("job", map[string]string{"c": strings.Repeat("y", 1<<20-10)}); err != nil {
			t.Error(err)
		}
		if _, err := b.broker.Extend(b.ctx, token, map[string]string{"progress": "50"}); err != nil {
			t.Error(err)
		}
		// A result is never refused. Its fields are in the event in any case.
		result := job.Result{Status: job.StatusCompleted, Fields: map[string]string{"report": mib, "findings": "3"}, Error: "none"}
		if r, err := b.broker.Complete(b.ctx, token, result); err != nil || r.Already {
			t.Fatalf("Complete: %+v, %v; want !r.Already", r, err)
		}
		found, err := b.broker.State(b.ctx, "job", nil)
		if err != nil || found.Status != job.StatusCompleted || found.Fields["error_message"] != "none" || found.Fields["completed_at"] == "" || found.Fields["report"] != "" {
			t.Errorf(`State: %+v, %+v, %v; want found.Status == job.StatusCompleted and found.Fields["error_message"] == "none" and found.Fields["completed_at"] != "" and found.Fields["report"] == ""`, found.Status, len(found.Fields), err)
		}
		if event := b.stream(t, "argus_completion:job")[0]; event.Values["report"] != mib || event.Values["findings"] != "3" {
			t.Error("the event lacks the result's fields")
		}
		if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: "job", OnConflict: state.ConflictReplace,
			InitialState: job.InitialState{Fields: map[string]string{"a": mib, "b": mib}}}); err != nil {
			t.Error("replacing:", err)
		}
		if err := redis.NewStateManager(b.client, redis.StateManagerConfig{}).SetField(b.ctx, "other", "f", strings.Repeat(mib, 4)); !errors.Is(err, job.ErrInvalid) {
			t.Error(err)
		}
	})
}

// A state is limited in fields.
func TestStateIsLimitedInFields(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		page := func(n, from int) map[string]string {
			fields := make(map[string]string)
			for i := range n {
				fields[fmt.Sprintf("field-%06d", from+i)] = "x"
			}
			return fields
		}
		for at := 0; at < state.MaxFields-10; {
			n := min(job.MaxFields, state.MaxFields-10-at)
			if err := b.broker.SetState(b.ctx, "job", page(n, at), ""); err != nil {
				t.Fatalf("SetState: %+v, %v; want no error", at, err)
			}
			at += n
		}
		if err := b.broker.SetState(b.ctx, "job", page(11, state.MaxFields-10), ""); !errors.Is(err, job.ErrInvalid) {
			t.Errorf("SetState: %v; want the error ErrInvalid", err)
		}
		if err := b.broker.SetState(b.ctx, "job", page(20, state.MaxFields-20), ""); err != nil { // ten of them are there
			t.Error(err)
		}
		if found, err := b.broker.State(b.ctx, "job", nil); err != nil || len(found.Fields) != state.MaxFields {
			t.Errorf("State: %+v, %v; want len(found.Fields) == state.MaxFields", len(found.Fields), err)
		}
	})
}

// A raw peer's hash that is too large is not read as a whole; small fields of it are.
func TestOversizedStateOfARawPeerIsNotRead(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.fatHash(t, "bytes", 12, 1<<20)
		b.fatHash(t, "fields", 9000, 1)
		for _, id := range []string{"bytes", "fields"} {
			b.raw.HSet(b.ctx, b.key("job_state:"+id), "status", "running")
			if _, err := b.broker.State(b.ctx, id, nil); !errors.Is(err, job.ErrStateTooLarge) {
				t.Errorf("State: %+v, %v; want the error ErrStateTooLarge", id, err)
			}
			if err := b.broker.SetState(b.ctx, id, map[string]string{"big": strings.Repeat("x", 5000)}, ""); !errors.Is(err, job.ErrInvalid) {
				t.Errorf("SetState: %+v, %v; want the error ErrInvalid", id, err)
			}
			found, err := b.broker.State(b.ctx, id, []string{"status", "missing"})
			if err != nil || found.Status != job.StatusRunning || len(found.Fields) != 1 {
				t.Errorf("State: %+v, %+v, %v; want found.Status == job.StatusRunning and len(found.Fields) == 1", id, found, err)
			}
		}
		if found, err := b.broker.State(b.ctx, "bytes", []string{"field-000001", "field-000002"}); err != nil || len(found.Fields["field-000002"]) != 1<<20 {
			t.Errorf(`State: %+v, %v; want len(found.Fields["field-000002"]) == 1<<20`, len(found.Fields), err)
		}
		b.fatHash(t, "value", 1, 5<<20)
		if _, err := b.broker.StateField(b.ctx, "value", "field-000000"); !errors.Is(err, job.ErrStateTooLarge) {
			t.Errorf("StateField: %v; want the error ErrStateTooLarge", err)
		}
		if _, err := b.broker.StateField(b.ctx, "value", "none"); !errors.Is(err, job.ErrFieldNotFound) {
			t.Errorf("StateField: %v; want the error ErrFieldNotFound", err)
		}
		if _, err := b.broker.StateField(b.ctx, "nothing", "none"); !errors.Is(err, job.ErrJobNotFound) {
			t.Errorf("StateField: %v; want the error ErrJobNotFound", err)
		}
	})
}
