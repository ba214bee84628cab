package watch

import (
	"log/slog"
	"sync"
	"time"
)

// trackingLimit lowers the number of tracked keys when Redis cannot remember them.
//
// Redis remembers a bounded number of tracked keys (tracking-table-max-keys, of all its clients
// together). Beyond it, Redis forgets some at random and pushes them as if they had changed. They are
// read, which has Redis remember them again and forget others, without end. trackingLimit detects this
// by pushes of keys that have nothing new. Then fewer keys are tracked, and the others are polled.
type trackingLimit struct {
	log           *slog.Logger
	subscriptions *Subscriptions

	mu               sync.Mutex
	since            time.Time
	pushes, needless int
	hasWarned        bool
}

const (
	// The limit is lowered when most of stormPushes pushes for each tracked key, and at least
	// minPushes, were needless within stormPeriod. A raw peer that sets the TTL of all keys causes only
	// one needless push for each.
	stormPushes = 2
	minPushes   = 1000
	stormPeriod = 10 * time.Second
	// growPeriod is how often the limit is raised again, in case that Redis remembers more keys now.
	growPeriod = 10 * time.Minute
)

// pushed records that a watched key was pushed, and whether that was needless: it had nothing new.
func (l *trackingLimit) pushed(isNeedless bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count(isNeedless, time.Now()); l.pushes < minPushes {
		return
	}
	keys, tracked := l.subscriptions.Len()
	if !l.isStorm(tracked) {
		return
	}
	tracked = l.subscriptions.Shrink()
	if !l.hasWarned {
		l.hasWarned = true
		l.log.Warn("Redis forgets which keys are tracked; some watched keys are polled, which is slower: raise its tracking-table-max-keys",
			"watched", keys, "tracked", tracked)
	}
}

// count counts a push. It needs mu.
func (l *trackingLimit) count(isNeedless bool, now time.Time) {
	if now.Sub(l.since) > stormPeriod {
		l.since, l.pushes, l.needless = now, 0, 0
	}
	l.pushes++
	if isNeedless {
		l.needless++
	}
}

// isStorm reports whether the pushes were a storm, given the number of tracked keys. Once they are
// enough to tell, it begins to count again. It needs mu.
func (l *trackingLimit) isStorm(tracked int) bool {
	if l.pushes < max(minPushes, stormPushes*tracked) {
		return false
	}
	isStorm := l.needless > l.pushes/10*9
	l.since, l.pushes, l.needless = time.Now(), 0, 0
	return isStorm
}
