package watch

import (
	"strings"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Redis remembers a bounded number of tracked keys (tracking-table-max-keys, of all its
// clients together). Beyond it, it forgets some at random, and rings for them as if they had
// changed. They are read, which has Redis remember them again and forget others: without end.
// This is noticed by rings for keys that have nothing new; then fewer keys are tracked, and
// the others polled.

const (
	// It is a storm when most of so many rings were in vain, for each tracked key, within
	// stormPeriod. A raw peer that sets the TTL of all keys makes one such ring for each.
	stormRings  = 2
	leastRings  = 1000
	stormPeriod = 10 * time.Second
	// growPeriod is how often more keys are tracked again, to see whether Redis remembers
	// them now.
	growPeriod = 10 * time.Minute
)

// vainRings counts rings of Redis, and those for keys that had nothing new.
type vainRings struct {
	mu          sync.Mutex
	since       time.Time
	rings, vain int
}

// count counts a ring, and says whether they are a storm when so many keys are tracked.
func (v *vainRings) count(isVain bool, tracked int, now time.Time) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.since) > stormPeriod {
		v.since, v.rings, v.vain = now, 0, 0
	}
	v.rings++
	if isVain {
		v.vain++
	}
	if v.rings < max(leastRings, stormRings*tracked) {
		return false
	}
	isStorm := v.vain > v.rings/10*9
	v.since, v.rings, v.vain = now, 0, 0
	return isStorm
}

// count counts a ring of Redis for a key that is watched, and has fewer keys tracked when
// Redis can't remember them.
func (t *tracking) count(isVain bool) {
	if keys, tracked := t.watches.Len(); t.vain.count(isVain, tracked, time.Now()) {
		tracked = t.watches.Shrink()
		if !t.hasWarned.Swap(true) {
			t.Log.Warn("Redis forgets which keys are tracked: raise its tracking-table-max-keys; until then some watches are polled, which is slower",
				"watched", keys, "tracked", tracked)
		}
	}
}

// isOld is true of an answer without anything that those who asked don't know.
func (r keyRead) isOld(raw string) bool {
	if r.from == job.FirstCursor {
		return strings.HasPrefix(raw, "*0\r\n")
	}
	return strings.HasPrefix(raw, "*1\r\n")
}
