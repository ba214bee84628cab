package guard

import (
	"context"
	"sync/atomic"
	"time"
)

// stallChecks is how many checks in a row must see no progress before a peer counts as stalled.
// They are spread evenly over the time-out. A single check proves nothing: on a busy machine
// this process may not have run for the whole time-out, while the peer was ready to read.
const stallChecks = 8

// waitWhileProgressing waits for done and returns what it yields, or ErrSlowReader when
// progress stays the same for the time-out, or ctx's cause when ctx ends.
func waitWhileProgressing(ctx context.Context, done <-chan error, progress *atomic.Int64, timeout time.Duration) error {
	timer := time.NewTimer(timeout / stallChecks)
	defer timer.Stop()
	for quiet, last := 0, progress.Load(); ; {
		select {
		case err := <-done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
		timer.Reset(timeout / stallChecks)
		if now := progress.Load(); now != last {
			quiet, last = 0, now
		} else if quiet++; quiet == stallChecks {
			return ErrSlowReader
		}
	}
}
