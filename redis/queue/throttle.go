package queue

import (
	"sync"
	"time"
)

// Throttle allows something once per period for each name. Period must be set.
type Throttle struct {
	Period time.Duration
	mu     sync.Mutex
	last   map[string]time.Time
}

// maxThrottled is how many names a throttle remembers; beyond it, it forgets all and allows each of
// them once more.
const maxThrottled = 10_000

// Due reports whether it is allowed now; if so, it begins the next period.
func (t *Throttle) Due(name string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if at, ok := t.last[name]; ok && now.Sub(at) < t.Period {
		return false
	}
	if t.last == nil || len(t.last) >= maxThrottled {
		t.last = make(map[string]time.Time)
	}
	t.last[name] = now
	return true
}

// postpone makes a name due after a while. Due must have returned true for the name.
func (t *Throttle) postpone(name string, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last[name] = time.Now().Add(wait - t.Period)
}

// Forget makes a name due at once.
func (t *Throttle) Forget(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.last, name)
}
