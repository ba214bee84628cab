package job

import (
	"errors"
	"strings"
	"time"
)

// fieldParts is the field of a job's state that names its parts.
const fieldParts = "argus_parts"

// Flat is the state as field, value, …
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

// InitialState is a job's state as a publish creates it.
type InitialState struct {
	Fields map[string]string
	TTL    time.Duration // 0 for the broker's StateTTL
	// Parts names what must report a result each before the job has one.
	Parts []string
}

func (s InitialState) Check() error {
	if err := CheckTTL("initial_state.ttl", s.TTL); err != nil {
		return err
	}
	return errors.Join(CheckFields("initial_state.fields", s.Fields), CheckParts("initial_state.parts", s.Parts))
}

// StatusSuffix makes the name of the field that says the status of a part.
const StatusSuffix = "_status"
