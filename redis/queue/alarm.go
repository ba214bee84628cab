package queue

import (
	"context"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// alarm goes off at the earliest of the times that it was set to, and at least once per
// conn.LongPeriod.
type alarm struct {
	mu    sync.Mutex
	at    time.Time
	moved chan struct{} // holds one signal that at has changed
}

// newAlarm returns an alarm that goes off at once.
func newAlarm() *alarm { return &alarm{at: time.Now(), moved: make(chan struct{}, 1)} }

// set makes the alarm go off after a while, unless it does so earlier.
func (a *alarm) set(in time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if at := time.Now().Add(in); at.Before(a.at) {
		a.at = at
		select {
		case a.moved <- struct{}{}:
		default:
		}
	}
}

// wait waits until the alarm goes off; false when ctx ended first.
func (a *alarm) wait(ctx context.Context) bool {
	for {
		left := a.left()
		if left <= 0 {
			return ctx.Err() == nil
		}
		timer := time.NewTimer(left)
		select {
		case <-timer.C:
		case <-a.moved:
			timer.Stop()
		case <-ctx.Done():
			timer.Stop()
			return false
		}
	}
}

// left is how long until the alarm goes off. When it goes off, it is set again.
func (a *alarm) left() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	left := time.Until(a.at)
	if left <= 0 {
		a.at = time.Now().Add(conn.LongPeriod)
	}
	return left
}
