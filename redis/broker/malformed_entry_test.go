package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Malformed entries become dead letters, and the tasks beside them are delivered.
func TestMalformedEntriesDelayNoOthers(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		many := []any{"job_id", "many"}
		for i := range 1100 {
			many = append(many, fmt.Sprint("f", i), "")
		}
		b.add(t, job.DefaultQueue, "job_id", "first")
		b.add(t, job.DefaultQueue, "job_id", "name", strings.Repeat("\xff", 1<<20), "x")
		b.add(t, job.DefaultQueue, many...)
		b.add(t, job.DefaultQueue, "job_id", "list", "scanners", strings.Repeat("a,", 1<<20))
		b.add(t, job.DefaultQueue, "job_id", "time", "argus_published_at", "999999999999999999")
		var jobs []string
		for range 3 { // they don't fit one answer
			for _, d := range b.read(t, "w", 10) {
				jobs = append(jobs, d.Task.JobID)
				if year := d.PublishedAt.Year(); year > 9999 {
					t.Error("published in", year)
				}
			}
		}
		if diff := cmp.Diff([]string{"first", "list", "time"}, jobs); diff != "" {
			t.Error(diff)
		}
		if n := len(b.stream(t, "argus_dead:"+job.DefaultQueue)); n != 2 {
			t.Error(n, "dead letters")
		}
		if ttl := b.raw.PTTL(b.ctx, b.key("argus_dead:"+job.DefaultQueue)).Val(); ttl <= 0 {
			t.Error("dead letters live", ttl)
		}
		if err := b.raw.XAdd(b.ctx, &goredis.XAddArgs{Stream: b.key("far"), ID: "18446744073709551000-1", Values: []any{"job_id", "far"}}).Err(); err != nil {
			t.Fatal(err)
		}
		far, err := b.broker.Read(b.ctx, queue.ReadRequest{Queue: "far", Consumer: "w"})
		if err != nil || len(far) != 1 || !far[0].PublishedAt.IsZero() {
			t.Error("an entry from the far future:", far, err)
		}
	})
}

// An entry that can't be delivered but has a job id fails the job.
func TestMalformedEntryFailsItsJob(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		many := []any{"job_id", "many"}
		for i := range 1100 {
			many = append(many, fmt.Sprint("f", i), "x")
		}
		for id, values := range map[string][]any{"many": many, "huge": {"job_id", "huge", "x", strings.Repeat("x", 4<<20)},
			"name": {"job_id", "name", "\xff", "x"}} {
			b.raw.XAdd(b.ctx, entry(b.key(job.DefaultQueue), values...))
			b.readNothing(t, func() bool { return len(b.stream(t, job.DefaultQueue)) == 0 })
			b.events(t, id, "failed")
		}
	})
}

// A raw producer's numeric job id is distinguished from other numbers under that name; where that is not
// possible the lease is trusted, so that the task can be settled.
func TestNumericJobIDsCanBeSettled(t *testing.T) {
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
