package queue

import (
	"sync"
	"time"
)

// Throttle allows something once a period for each name. Its zero value is not usable:
// period must be set.
type Throttle struct {
	Period time.Duration
	mu     sync.Mutex
	last   map[string]time.Time
}

// maxThrottled is how many names a throttle remembers; beyond it, it forgets all of them,
// and allows each once more.
const maxThrottled = 10_000

// Due says whether it is time, and if so begins the next period.
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

// postpone makes a name due when a time has passed.
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
