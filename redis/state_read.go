package redis

import (
	"context"
	"fmt"
	"time"
)

// The bounds of a job's state, names and values together: what one answer can carry. The
// scripts hold them (lua/limits.lua).
const (
	MaxStateFields = 4096
	MaxStateBytes  = 3 << 20
)

const (
	// smallState is up to how many bytes a state is read together with others; larger ones
	// are read over connections of their own.
	smallState = 32 << 10
	// readableState is up to how many bytes a state is read at all. It is more than
	// MaxStateBytes, because small writes and results are not refused.
	readableState = 4 << 20
	// largeReads is how many large states are read at a time.
	largeReads = 4
)

// stateFull is the error of a write of field, value, … that would make a state too large. It
// names the largest of the fields.
func stateFull(field string, fields []string) error {
	at := 0
	for i := 0; i+1 < len(fields); i += 2 {
		if len(fields[i+1]) > len(fields[at+1]) {
			at = i
		}
	}
	return invalid(fmt.Sprintf("%s[%q]", field, clip(fields[at])),
		"would make the job's state larger than %d fields or %d bytes; nothing was written: keep large values elsewhere and write where they are, or replace the state",
		MaxStateFields, MaxStateBytes)
}

// What the get script says of a state.
const (
	stateThere    = "STATE"
	stateLarge    = "LARGE"
	stateTooLarge = "TOO_LARGE"
	stateNone     = "NONE"
)

// stateRead is what was found of a job's state.
type stateRead struct {
	verdict string
	fields  map[string]string
	status  Status
	ttl     time.Duration // negative when it does not expire
	// hasEvents: the job has completion events. It is not looked at for watches.
	hasEvents bool
}

// stateArgs are the get script's arguments.
func stateArgs(names []string) []any {
	return appendStrings([]any{smallState, readableState}, names)
}

// parseState reads the get script's reply.
func parseState(reply []string) (s stateRead, err error) {
	if len(reply) == 0 {
		return s, fmt.Errorf("get state: an empty reply")
	}
	s.verdict = reply[0]
	if s.verdict == stateNone {
		return s, nil
	}
	if len(reply) < 4 || len(reply)%2 != 0 {
		return s, fmt.Errorf("get state: a reply of %d words", len(reply))
	}
	ms, err := number(reply[1])
	if s.ttl = -1; ms >= 0 {
		s.ttl = time.Duration(ms) * time.Millisecond
	}
	s.status, s.hasEvents, s.fields = Status(reply[2]), reply[3] != "", make(map[string]string, (len(reply)-4)/2)
	for i := 4; i < len(reply); i += 2 {
		s.fields[reply[i]] = reply[i+1]
	}
	return s, err
}

// readState reads a job's state: the named fields that are there, or all when none is named.
// One that is too large is not read.
func (b *Broker) readState(ctx context.Context, jobID string, names []string) (stateRead, error) {
	key := b.keys.state(jobID)
	reply, err := getScript.strings(ctx, b.client, repeatable, []string{key, b.keys.completion(jobID)}, stateArgs(names)...)
	if err != nil {
		return stateRead{}, err
	}
	s, err := parseState(reply)
	if err == nil && s.verdict == stateLarge {
		s, err = b.readLarge(ctx, key, names, s)
	}
	return s, err
}

// readLarge reads the fields of a large state.
func (b *Broker) readLarge(ctx context.Context, key string, names []string, s stateRead) (stateRead, error) {
	if len(names) == 0 {
		fields, err := b.client.large.HGetAll(ctx, key).Result()
		s.fields = fields
		return s, translate("get state", err, repeatable)
	}
	values, err := b.client.large.HMGet(ctx, key, names...).Result()
	if err != nil {
		return s, translate("get state", err, repeatable)
	}
	for i, value := range values {
		if text, ok := value.(string); ok {
			s.fields[names[i]] = text
		}
	}
	return s, nil
}
