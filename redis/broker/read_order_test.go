package broker_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// Tasks whose leases expired come before new ones, in the order of the queue.
func TestExpiredLeasesAreReadFirstOldestFirst(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		for _, id := range []string{"a", "b", "c"} {
			b.publish(t, job.Task{JobID: id})
		}
		crashed := b.read(t, "crashed", 2)
		for _, d := range crashed {
			b.expire(t, d.Lease)
		}
		b.broker = b.open(t, job.Settings{})
		var order []string
		for _, d := range b.read(t, "w", 10) {
			order = append(order, d.Task.JobID)
		}
		if got := strings.Join(order, ""); got != "abc" {
			t.Error("order", got)
		}
	})
}

// A pause, a resume and cancellations by another server take effect on reads of a server that was not
// notified of them.
func TestReadRespectsWhatAnotherServerDid(t *testing.T) {
	t.Parallel()
	redistest.Each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e, job.Settings{})
		other := b.open(t, job.Settings{})
		for i := range 3 {
			b.publish(t, job.Task{JobID: fmt.Sprint("job-", i)})
			b.publish(t, job.Task{JobID: fmt.Sprint("doomed-", i)})
		}
		if d := b.read(t, "w", 1); len(d) != 1 || d[0].Task.JobID != "job-0" {
			t.Fatalf(`read: %+v; want len(d) == 1 and d[0].Task.JobID == "job-0"`, d)
		}
		if err := other.Pause(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if d := b.read(t, "w", 10); len(d) != 0 {
				t.Fatalf("read: %+v; want none", d)
			}
		}
		for i := range 3 {
			if _, err := other.Cancel(b.ctx, fmt.Sprint("doomed-", i), ""); err != nil {
				t.Fatal(err)
			}
		}
		if err := other.Resume(b.ctx, ""); err != nil {
			t.Fatal(err)
		}
		seen := make(map[string]int)
		for range 10 {
			for _, d := range b.read(t, "w", 10) {
				seen[d.Task.JobID] += d.Attempt
			}
		}
		if len(seen) != 2 || seen["job-1"] != 1 || seen["job-2"] != 1 {
			t.Error(seen)
		}
		for i := range 3 {
			b.events(t, fmt.Sprint("doomed-", i), "cancelled")
		}
	})
}
