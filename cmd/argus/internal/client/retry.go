package client

import (
	"context"
	"time"
)

// RetryFor bounds how long a call is repeated; RetryPause is the time between two tries.
const (
	RetryFor   = 30 * time.Second
	RetryPause = 250 * time.Millisecond
)

// Retry repeats a call that is safe to repeat while it fails for a transient reason. It returns the
// last error after RetryFor, or when ctx ends.
func (c *Client) Retry(ctx context.Context, call func() error) error {
	deadline := time.Now().Add(RetryFor)
	for {
		err := call()
		if !c.Transient(err) || time.Now().After(deadline) || !Sleep(ctx, RetryPause) {
			return err
		}
	}
}

// Sleep waits for d. It returns false when ctx ended first.
func Sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
