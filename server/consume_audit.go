package server

import (
	"context"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// auditPeriod is how often a stream checks that its leases are still its own.
const auditPeriod = time.Second

// audit notifies the worker of lost leases and cancelled jobs, and returns the credit of leases
// that are no longer pending, until the consumer holds nothing or ctx ends.
func (c *consumeStream) audit(ctx context.Context) {
	cancellations := c.queue.tasks.Cancellations()
	defer cancellations.Close()
	ticker := time.NewTicker(auditPeriod)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if c.credit.endAudit() {
				return
			}
			if !c.notifyLost(ctx) {
				continue
			}
		case <-cancellations.Mail():
		case <-ctx.Done():
			return
		}
		c.notifyCancelled(ctx)
	}
}

// notifyLost notifies the worker of the leases that it lost. It returns false when the store
// does not answer; the next audit tries again.
func (c *consumeStream) notifyLost(ctx context.Context) bool {
	held, err := c.held(ctx)
	if err != nil {
		return false
	}
	for token, lease := range c.credit.audit(held) {
		c.send(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_LeaseLost{
			LeaseLost: &argusv1.LeaseNotice{LeaseToken: token, JobId: lease.JobID}}})
	}
	return true
}

// notifyCancelled notifies the worker of the cancelled jobs among those it works on.
func (c *consumeStream) notifyCancelled(ctx context.Context) {
	jobs := c.credit.jobs()
	if len(jobs) == 0 {
		return
	}
	jobs, err := c.queue.tasks.CancelledAmong(ctx, jobs)
	if err != nil {
		return // the next audit tries again
	}
	for token, lease := range c.credit.cancelled(jobs) {
		c.send(&argusv1.ConsumeResponse{Response: &argusv1.ConsumeResponse_CancelRequested{
			CancelRequested: &argusv1.LeaseNotice{LeaseToken: token, JobId: lease.JobID}}})
	}
}
