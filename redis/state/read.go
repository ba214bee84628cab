package state

import (
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// The bounds of a job's state, names and values together: one reply can carry it. The
// scripts enforce them (lua/limits.lua).
const (
	MaxFields = 4096
	MaxBytes  = 3 << 20
)

const (
	// SmallBytes is the size up to which a state is read together with others. Larger ones
	// are read over connections of their own.
	SmallBytes = 32 << 10
	// ReadableBytes is the size up to which a state is read at all. It is more than
	// MaxBytes, because small writes and results are not refused.
	ReadableBytes = 4 << 20
)

// The verdicts on a state's size.
const (
	Large    = conn.VerdictLarge
	TooLarge = conn.VerdictTooLarge
)

// Stored is a job's state as the get script found it.
type Stored struct {
	Verdict string // VerdictState, Large, TooLarge or VerdictNone
	Fields  map[string]string
	status  job.Status
	ttl     time.Duration // negative when it does not expire
	// hasEvents: the job has completion events. Watches do not ask for it.
	hasEvents bool
}

// ReadArgs returns the get script's ARGV, for the named fields or all.
func ReadArgs(names []string) []any {
	return conn.AppendStrings([]any{SmallBytes, ReadableBytes}, names)
}

// ParseReply reads the get script's reply.
func ParseReply(reply []string) (s Stored, err error) {
	if len(reply) == 0 {
		return s, fmt.Errorf("get state: an empty reply")
	}
	s.Verdict = reply[0]
	if s.Verdict == conn.VerdictNone {
		return s, nil
	}
	const head = 4 // verdict, TTL, status, whether there are events
	if len(reply) < head || len(reply)%2 != 0 {
		return s, fmt.Errorf("get state: a reply of %d words", len(reply))
	}
	ms, err := resp.Number(reply[1])
	if s.ttl = -1; ms >= 0 {
		s.ttl = time.Duration(ms) * time.Millisecond
	}
	s.status, s.hasEvents, s.Fields = job.Status(reply[2]), reply[3] != "", make(map[string]string, (len(reply)-head)/2)
	for i := head; i < len(reply); i += 2 {
		s.Fields[reply[i]] = reply[i+1]
	}
	return s, err
}

// runGet runs the get script: the named fields that exist, or all when none is named, and whether the job has
// events. It does not read fields of a large state.
func (s *Store) runGet(ctx context.Context, jobID string, names []string) (Stored, error) {
	reply, err := conn.GetScript.Strings(ctx, s.Conn, conn.Repeatable, []string{s.Keys.State(jobID), s.Keys.Completion(jobID)}, ReadArgs(names)...)
	if err != nil {
		return Stored{}, err
	}
	return ParseReply(reply)
}

// read reads a job's state: the named fields that exist, or all when none is named.
// A state that is too large is not read.
func (s *Store) read(ctx context.Context, jobID string, names []string) (Stored, error) {
	stored, err := s.runGet(ctx, jobID, names)
	if err == nil && stored.Verdict == Large {
		return s.ReadLarge(ctx, s.Keys.State(jobID), names, stored)
	}
	return stored, err
}

// ReadLarge reads the fields of a large state over a connection for large replies, and returns stored with
// these.
func (s *Store) ReadLarge(ctx context.Context, key string, names []string, stored Stored) (Stored, error) {
	if len(names) == 0 {
		fields, err := s.Large.HGetAll(ctx, key).Result()
		stored.Fields = fields
		return stored, conn.Translate("get state", err, conn.Repeatable)
	}
	values, err := s.Large.HMGet(ctx, key, names...).Result()
	if err != nil {
		return stored, conn.Translate("get state", err, conn.Repeatable)
	}
	for i, value := range values {
		if text, ok := value.(string); ok {
			stored.Fields[names[i]] = text
		}
	}
	return stored, nil
}
