package conn

import (
	"context"
	"time"
)

// Pause waits for d; false when ctx ends first.
func Pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// LongPeriod is how often background work checks at least, whatever else it waits for.
const LongPeriod = time.Second

// RetryPeriod is how long a watch waits after a failure.
const RetryPeriod = 250 * time.Millisecond
