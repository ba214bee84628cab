package server_test

import (
	"testing"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
)

// The worker is notified of cancelled jobs and lost leases. A lost lease returns its credit.
func TestConsumeNotices(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		b.publish(t, "cancelled")
		b.publish(t, "stolen")
		c := b.consume(t, "w", 2)
		d := c.deliveries(2)
		if _, err := b.queue.Cancel(b.ctx, &argusv1.CancelRequest{JobId: "cancelled"}); err != nil {
			t.Fatal(err)
		}
		if n := c.next().GetCancelRequested(); n.GetJobId() != "cancelled" || n.GetLeaseToken() != d[0].GetLeaseToken() {
			t.Errorf("notice %v, want cancel_requested of the first delivery", n)
		}
		if err := b.raw.Do(b.ctx, "XCLAIM", b.key("argus_task_queue"), "argus-workers", "thief", 0, d[1].GetMessageId()).Err(); err != nil {
			t.Fatal(err)
		}
		if n := c.next().GetLeaseLost(); n.GetJobId() != "stolen" || n.GetLeaseToken() != d[1].GetLeaseToken() {
			t.Errorf("notice %v, want lease_lost of the second delivery", n)
		}
		b.publish(t, "next")
		if d := c.deliveries(1); d[0].GetTask().GetJobId() != "next" {
			t.Errorf("delivered %v, want the task of the job next", d)
		}
	})
}
