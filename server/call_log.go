package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// callLog logs calls. Of similar failures it logs samples: a client that is refused a thousand
// times a second must not fill a disk.
type callLog struct {
	logger *slog.Logger

	mu       sync.Mutex
	failures map[failureKind]*failureCount
}

// failureKind is what similar failures have in common. There are few kinds: methods and reasons
// are those of this service.
type failureKind struct{ method, reason string }

// failureCount counts the failures of a kind in one period.
type failureCount struct {
	start time.Time
	level slog.Level
	calls int
}

// In each period the log gets the first failures of a kind, and then the number of the others.
const (
	samplePeriod = 10 * time.Second
	sampleCalls  = 5
)

// sample counts a failure and reports whether to log it.
func (l *callLog) sample(ctx context.Context, kind failureKind, level slog.Level) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.failures[kind]
	if c != nil && time.Since(c.start) >= samplePeriod {
		l.endPeriod(ctx, kind)
		c = nil
	}
	if c == nil {
		if l.failures == nil {
			l.failures = make(map[failureKind]*failureCount)
		}
		c = &failureCount{start: time.Now(), level: level}
		l.failures[kind] = c
	}
	c.calls++
	return c.calls <= sampleCalls
}

// flush ends the periods that are over, or all of them.
func (l *callLog) flush(ctx context.Context, all bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for kind, c := range l.failures {
		if all || time.Since(c.start) >= samplePeriod {
			l.endPeriod(ctx, kind)
		}
	}
}

// endPeriod logs how many failures of a kind were not logged. The caller holds mu.
func (l *callLog) endPeriod(ctx context.Context, kind failureKind) {
	if c := l.failures[kind]; c.calls > sampleCalls {
		l.logger.LogAttrs(ctx, c.level, "similar failures were not logged", slog.String("method", kind.method), slog.String("reason", kind.reason),
			slog.Int("calls", c.calls-sampleCalls), slog.Duration("within", time.Since(c.start)))
	}
	delete(l.failures, kind)
}
