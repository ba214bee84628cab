package server

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// samples thin out the log of calls that fail alike: a client that is refused a thousand
// times a second must not fill a disk.
type samples struct {
	mu sync.Mutex
	of map[kind]*sample
}

// kind is what calls that fail alike have in common. There are few: methods and reasons are
// this service's own.
type kind struct{ method, reason string }

// sample counts the calls of a kind in a period.
type sample struct {
	begun time.Time
	level slog.Level
	calls int
}

// Of each kind of failure the log has the first calls of a period, and how many followed.
const (
	samplePeriod = 10 * time.Second
	sampleCalls  = 5
)

// take counts a call, and says whether the log is to have it.
func (s *samples) take(ctx context.Context, log *slog.Logger, k kind, level slog.Level) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.of[k]
	if c != nil && time.Since(c.begun) >= samplePeriod {
		s.end(ctx, log, k)
		c = nil
	}
	if c == nil {
		if s.of == nil {
			s.of = make(map[kind]*sample)
		}
		c = &sample{begun: time.Now(), level: level}
		s.of[k] = c
	}
	c.calls++
	return c.calls <= sampleCalls
}

// flush logs what followed in periods that are over, or in all.
func (s *samples) flush(ctx context.Context, log *slog.Logger, all bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.of {
		if all || time.Since(c.begun) >= samplePeriod {
			s.end(ctx, log, k)
		}
	}
}

// end ends a period. The caller holds mu.
func (s *samples) end(ctx context.Context, log *slog.Logger, k kind) {
	if c := s.of[k]; c.calls > sampleCalls {
		log.LogAttrs(ctx, c.level, "calls that ended alike and are not logged", slog.String("method", k.method), slog.String("reason", k.reason),
			slog.Int("calls", c.calls-sampleCalls), slog.Duration("within", time.Since(c.begun)))
	}
	delete(s.of, k)
}
