package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// A dead part that is redriven after its job has a result does not change the result.
func TestRedriveOfAPartKeepsTheResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "b"}); err != nil {
			t.Fatal(err)
		}
		fields := func() map[string]string {
			s, err := b.broker.State(b.ctx, "job", nil)
			if err != nil {
				t.Fatal(err)
			}
			return s.Fields
		}
		before := fields()
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Fatalf("Redrive: %+v, %v; want n == 1", n, err)
		}
		if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted, Part: "a"}); err != nil || !r.Already {
			t.Errorf("Complete: %+v, %v; want r.Already", r, err)
		}
		b.events(t, "job", "running", "partial")
		if after := fields(); fmt.Sprint(after) != fmt.Sprint(before) || after["status"] != "partial" {
			t.Error(before, after)
		}
	})
}

// Live watches of a job continue when one of its parts is redriven.
func TestWatchContinuesWhenAPartIsRedriven(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		b.withParts(t, "job", "a", "b")
		w, _, err := b.broker.Watch(b.ctx, "job", "")
		if err != nil {
			t.Fatal(err)
		}
		defer w.Close()
		next := func(want job.Status, part string) {
			t.Helper()
			event, err := w.Next(b.ctx, longWait)
			if err != nil || event == nil || event.Status != want || event.Part != part {
				t.Fatalf("%+v %v, want %s of %s", event, err, want, part)
			}
		}
		if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
			t.Fatal(err)
		}
		next(job.StatusRunning, "a")
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
			t.Fatalf("Redrive: %+v, %v; want n == 1", n, err)
		}
		for range 2 {
			d := b.readOne(t, "w")
			if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: d.Task.Part}); err != nil {
				t.Fatal(err)
			}
		}
		next(job.StatusRunning, "b")
		next(job.StatusCompleted, "a")
	})
}

// When all parts of a job died and are redriven, the job's result is that of their new reports, also when
// one has reported before the next is redriven.
func TestRedriveOfAllPartsReplacesTheResult(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, isOneByOne := range []bool{false, true} {
			b := setup(t, e, job.Settings{})
			b.raw.Del(b.ctx, b.key("job_state:job"), b.key("argus_completion:job"), b.key("argus_parts:job"))
			b.withParts(t, "job", "a", "b")
			for range 2 {
				if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
					t.Fatal(err)
				}
			}
			b.events(t, "job", "running", "failed")
			complete := func() {
				t.Helper()
				d := b.readOne(t, "w")
				if _, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted, Part: d.Task.Part}); err != nil {
					t.Fatal(err)
				}
			}
			letters := b.stream(t, "argus_dead:"+job.DefaultQueue)
			if isOneByOne {
				if n, err := b.broker.Redrive(b.ctx, "", false, []string{letters[0].ID}); n != 1 || err != nil {
					t.Fatalf("Redrive: %+v, %v; want n == 1", n, err)
				}
				complete()
				b.events(t, "job", "running", "failed") // by the other part's death
			}
			if n, err := b.broker.Redrive(b.ctx, "", true, nil); n == 0 || err != nil {
				t.Fatalf("Redrive: %+v, %v; want n != 0", n, err)
			}
			if s := b.hash(t, "job_state:job"); s["b_status"] != "pending" || (s["a_status"] == "pending") == isOneByOne {
				t.Errorf("one by one %t: %v", isOneByOne, s)
			}
			if complete(); !isOneByOne {
				complete()
			}
			s := b.hash(t, "job_state:job")
			if s["status"] != "completed" || s["a_status"] != "completed" || s["b_status"] != "completed" {
				t.Errorf("one by one %t: %v", isOneByOne, s)
			}
			info, err := b.broker.Job(b.ctx, "job")
			if err != nil || info.Result == nil || info.Result.Status != job.StatusCompleted || info.Result.Fields["a_status"] != "completed" {
				t.Errorf("one by one %t: %+v %v", isOneByOne, info.Result, err)
			}
		}
	})
}
