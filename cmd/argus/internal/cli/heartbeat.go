package cli

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// A lease is renewed three times within its duration, within these bounds. The duration is known
// only as the difference of two machines' clocks; the upper bound is a fraction of the default
// lease of a minute, so that a wrong clock does no harm.
const (
	minHeartbeat = 50 * time.Millisecond
	maxHeartbeat = 10 * time.Second
)

// heartbeat renews the lease until ctx ends. It stops the command when the lease is lost, and when
// the job is cancelled.
func (w *worker) heartbeat(ctx context.Context, d *argusv1.Delivery, stop context.CancelCauseFunc) {
	period := min(max(time.Until(d.GetLeaseExpireTime().AsTime())/3, minHeartbeat), maxHeartbeat)
	for client.Sleep(ctx, period) {
		response, err := w.Queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: d.GetLeaseToken()})
		switch {
		case client.HasReason(err, "LEASE_LOST"):
			stop(errLeaseLost)
			return
		case response.GetCancelRequested():
			stop(errCancelled)
			return
		}
	}
}
