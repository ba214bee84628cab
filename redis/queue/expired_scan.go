package queue

import (
	"sync"
	"time"
)

// Looking for leases that ran out costs Redis a walk over all pending entries, so each
// line is looked at at most every claimPeriod, and less often when it takes long.
const (
	claimPeriod    = 50 * time.Millisecond
	maxClaimPeriod = 500 * time.Millisecond
	claimShare     = 50
)

// expiredScans remembers when each line is to be looked at again. Its zero value is ready.
type expiredScans struct {
	mu   sync.Mutex
	next map[string]time.Time
}

// due says whether to look now, and if so puts off the next time.
func (c *expiredScans) due(line string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	if now.Before(c.next[line]) {
		return false
	}
	if c.next == nil {
		c.next = make(map[string]time.Time)
	}
	if len(c.next) >= 10000 { // forget old lines; looking too early does no harm
		clear(c.next)
	}
	c.next[line] = now.Add(claimPeriod)
	return true
}

// reset makes the line due at once.
func (c *expiredScans) reset(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.next, line)
}

// postpone puts off the next look by what this one cost.
func (c *expiredScans) postpone(line string, d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next[line] = time.Now().Add(min(maxClaimPeriod, max(claimPeriod, claimShare*d)))
}
