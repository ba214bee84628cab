package job

import (
	"errors"
	"strings"
	"time"
)

const (
	// StatusSuffix follows the name of a part in the name of the field that holds the part's status.
	StatusSuffix = "_status"
	// fieldParts is the field of a job's state that lists its parts.
	fieldParts = "argus_parts"
)

// InitialState is a job's state as a publish creates it.
type InitialState struct {
	Fields map[string]string
	// TTL is how long the state is kept; 0 means Settings.StateTTL.
	TTL time.Duration
	// Parts names the parts of the job. The job gets its result when each of them has reported one.
	Parts []string
}

// Check reports what is wrong with the state, as *ArgumentErrors.
func (s InitialState) Check() error {
	if err := CheckTTL("initial_state.ttl", s.TTL); err != nil {
		return err
	}
	return errors.Join(CheckFields("initial_state.fields", s.Fields), CheckParts("initial_state.parts", s.Parts))
}

// Flat returns the state as field, value, … with the status pending where the caller gave none.
func (s InitialState) Flat() []string {
	fields := Pairs(s.Fields)
	if _, given := s.Fields[FieldStatus]; !given {
		fields = append(fields, FieldStatus, string(StatusPending))
	}
	for _, part := range s.Parts {
		fields = append(fields, part+StatusSuffix, string(StatusPending))
	}
	if len(s.Parts) > 0 {
		fields = append(fields, fieldParts, strings.Join(s.Parts, " "))
	}
	return fields
}
