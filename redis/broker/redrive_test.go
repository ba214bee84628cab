package broker_test

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Redriven dead letters are tasks that were never tried, and their jobs are pending again.
func TestRedriveRestartsDeadTasks(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for i := range 5 {
			id := fmt.Sprint("job-", i)
			if _, err := b.broker.InitState(b.ctx, state.InitRequest{JobID: id}); err != nil {
				t.Fatal(err)
			}
			b.publish(t, job.Task{JobID: id})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true, Reason: "no"}); err != nil {
				t.Fatal(err)
			}
		}
		b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), "nonsense", "1"))
		if more := b.read(t, "w", 1); len(more) != 0 {
			t.Fatalf("read: %+v; want none", more)
		}
		letters, err := b.broker.DeadLetters(b.ctx, "", "", 3)
		if err != nil || len(letters) != 3 {
			t.Fatalf("DeadLetters: %+v, %v; want len(letters) == 3", letters, err)
		}
		rest, err := b.broker.DeadLetters(b.ctx, "", letters[2].EntryID, 10)
		if err != nil || len(rest) != 3 {
			t.Fatalf("DeadLetters: %+v, %v; want len(rest) == 3", rest, err)
		}
		if d := rest[2]; d.IsTask || d.Fields["nonsense"] != "1" || d.Cause != queue.CauseMalformed {
			t.Errorf("%+v", d)
		}
		ids := []string{letters[0].EntryID, letters[1].EntryID, "1-1"}
		if n, err := b.broker.Redrive(b.ctx, "", false, ids); n != 2 || err != nil {
			t.Fatalf("Redrive: %+v, %v; want n == 2", n, err)
		}
		b.events(t, "job-0")
		b.events(t, "job-2", "failed")
		if s := b.hash(t, "job_state:job-0"); s["status"] != "pending" || s["error_message"] != "" || s["completed_at"] != "" {
			t.Error(s)
		}
		d := b.readOne(t, "w")
		if d.Task.JobID != "job-0" || d.Attempt != 1 || d.Failures != 0 {
			t.Errorf("%+v", d)
		}
		if r, err := b.broker.Complete(b.ctx, d.Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil || r.Already {
			t.Errorf("Complete: %+v, %v; want !r.Already", r, err)
		}
		b.events(t, "job-0", "completed")
		// One that got another result since keeps it.
		if _, err := b.broker.Report(b.ctx, "job-2", job.Result{Status: job.StatusCompleted}); err != nil {
			t.Fatal(err)
		}
		if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 3 || err != nil {
			t.Errorf("Redrive: %+v, %v; want n == 3", n, err)
		}
		if n := len(b.read(t, "w", 10)); n != 4 { // job-1 to job-4
			t.Error(n, "tasks")
		}
		if d := b.letter(t); d.IsTask { // the nonsense stays
			t.Errorf("%+v", d)
		}
		if n, err := b.broker.DeleteDeadLetters(b.ctx, "", false, []string{b.letter(t).EntryID}); n != 1 || err != nil {
			t.Errorf("DeleteDeadLetters: %+v, %v; want n == 1", n, err)
		}
	})
}

// The result of a redriven task is withdrawn, whatever raw peers appended after it.
func TestRedriveWithdrawsAResultBehindOtherEvents(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		for _, encoding := range []job.Encoding{job.EncodingFields, job.EncodingJSON} {
			b := setup(t, e, job.Settings{Queue: job.QueueSettings{Encoding: encoding}})
			id := string(encoding)
			b.publish(t, job.Task{JobID: id})
			if err := b.nack(queue.NackRequest{Token: b.readOne(t, "w").Lease.Token(), DeadLetter: true}); err != nil {
				t.Fatal(err)
			}
			b.peerEvents(t, id, 20, "status", "running")
			if n, err := b.broker.Redrive(b.ctx, "", true, nil); n != 1 || err != nil {
				t.Fatalf("Redrive: %+v, %v; want n == 1", n, err)
			}
			if r, err := b.broker.Complete(b.ctx, b.readOne(t, "w").Lease.Token(), job.Result{Status: job.StatusCompleted}); err != nil || r.Already {
				t.Errorf("Complete: %+v, %+v, %v; want !r.Already", id, r, err)
			}
		}
	})
}
