package queue

import (
	"sync"
	"time"
)

// Looking for expired leases makes Redis walk over all pending entries of a group. So it is done for a
// group at most once per scanPeriod, and less often when it takes long: no more than 1/scanShare of the
// time, but at least once per maxScanPeriod.
const (
	scanPeriod    = 50 * time.Millisecond
	maxScanPeriod = 500 * time.Millisecond
	scanShare     = 50
)

// expiredScanThrottle says when to look for expired leases of a group again. Its zero value is ready.
type expiredScanThrottle struct {
	mu   sync.Mutex
	next map[scannedGroup]time.Time
}

type scannedGroup struct{ queue, group string }

// maxScanned is how many groups the throttle remembers; beyond it, it forgets all, and each is scanned
// once too early.
const maxScanned = 10_000

// due reports whether to look now; if so, it postpones the next scan.
func (t *expiredScanThrottle) due(queue, group string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	g, now := scannedGroup{queue, group}, time.Now()
	if now.Before(t.next[g]) {
		return false
	}
	if t.next == nil || len(t.next) >= maxScanned {
		t.next = make(map[scannedGroup]time.Time)
	}
	t.next[g] = now.Add(scanPeriod)
	return true
}

// reset makes the next scan due at once.
func (t *expiredScanThrottle) reset(queue, group string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.next, scannedGroup{queue, group})
}

// postpone postpones the next scan by the duration of one. due must have returned true for the group.
func (t *expiredScanThrottle) postpone(queue, group string, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.next[scannedGroup{queue, group}] = time.Now().Add(min(maxScanPeriod, max(scanPeriod, scanShare*took)))
}
