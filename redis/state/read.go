package state

import (
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// The bounds of a job's state, names and values together: what one answer can carry. The
// scripts hold them (lua/limits.lua).
const (
	MaxFields = 4096
	MaxBytes  = 3 << 20
)

const (
	// SmallBytes is up to how many bytes a state is read together with others; larger ones
	// are read over connections of their own.
	SmallBytes = 32 << 10
	// ReadableBytes is up to how many bytes a state is read at all. It is more than
	// MaxBytes, because small writes and results are not refused.
	ReadableBytes = 4 << 20
	// LargeReads is how many large states are read at a time.
	LargeReads = 4
)

// FullError is the error of a write of field, value, … that would make a state too large. It
// names the largest of the fields.
func FullError(field string, fields []string) error {
	at := 0
	for i := 0; i+1 < len(fields); i += 2 {
		if len(fields[i+1]) > len(fields[at+1]) {
			at = i
		}
	}
	return job.Invalid(fmt.Sprintf("%s[%q]", field, job.Clip(fields[at])),
		"would make the job's state larger than %d fields or %d bytes; nothing was written: keep large values elsewhere and write where they are, or replace the state",
		MaxFields, MaxBytes)
}

// What the get script says of a state.
const (
	stateThere = "STATE"
	Large      = "LARGE"
	TooLarge   = "TOO_LARGE"
	stateNone  = "NONE"
)

// Stored is what was found of a job's state.
type Stored struct {
	Verdict string
	Fields  map[string]string
	status  job.Status
	ttl     time.Duration // negative when it does not expire
	// hasEvents: the job has completion events. It is not looked at for watches.
	hasEvents bool
}

// ReadArgs are the get script's arguments.
func ReadArgs(names []string) []any {
	return conn.AppendStrings([]any{SmallBytes, ReadableBytes}, names)
}

// ParseReply reads the get script's reply.
func ParseReply(reply []string) (s Stored, err error) {
	if len(reply) == 0 {
		return s, fmt.Errorf("get state: an empty reply")
	}
	s.Verdict = reply[0]
	if s.Verdict == stateNone {
		return s, nil
	}
	if len(reply) < 4 || len(reply)%2 != 0 {
		return s, fmt.Errorf("get state: a reply of %d words", len(reply))
	}
	ms, err := resp.Number(reply[1])
	if s.ttl = -1; ms >= 0 {
		s.ttl = time.Duration(ms) * time.Millisecond
	}
	s.status, s.hasEvents, s.Fields = job.Status(reply[2]), reply[3] != "", make(map[string]string, (len(reply)-4)/2)
	for i := 4; i < len(reply); i += 2 {
		s.Fields[reply[i]] = reply[i+1]
	}
	return s, err
}

// readState reads a job's state: the named fields that are there, or all when none is named.
// One that is too large is not read.
func (store *Store) readState(ctx context.Context, jobID string, names []string) (Stored, error) {
	key := store.Keys.State(jobID)
	reply, err := conn.GetScript.Strings(ctx, store.Conn, conn.Repeatable, []string{key, store.Keys.Completion(jobID)}, ReadArgs(names)...)
	if err != nil {
		return Stored{}, err
	}
	s, err := ParseReply(reply)
	if err == nil && s.Verdict == Large {
		s, err = store.ReadLarge(ctx, key, names, s)
	}
	return s, err
}

// ReadLarge reads the fields of a large state.
func (store *Store) ReadLarge(ctx context.Context, key string, names []string, s Stored) (Stored, error) {
	if len(names) == 0 {
		fields, err := store.Large.HGetAll(ctx, key).Result()
		s.Fields = fields
		return s, conn.Translate("get state", err, conn.Repeatable)
	}
	values, err := store.Large.HMGet(ctx, key, names...).Result()
	if err != nil {
		return s, conn.Translate("get state", err, conn.Repeatable)
	}
	for i, value := range values {
		if text, ok := value.(string); ok {
			s.Fields[names[i]] = text
		}
	}
	return s, nil
}
