package redis

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// The names of the fields of a completion event and of a job's state that this
// package writes itself.
const (
	fieldStatus      = "status"
	fieldCompletedAt = "completed_at"
	fieldError       = "error_message"
	fieldResults     = "results"
	fieldLease       = "argus_lease"
)

var completionFields = []string{fieldJobID, fieldStatus, fieldCompletedAt, fieldError, fieldPart, fieldData, fieldResults}

// MaxErrorBytes is how long the error message of a completion may be.
const MaxErrorBytes = 64 << 10

// Event is one completion event of a job.
type Event struct {
	JobID       string
	Cursor      string
	Status      Status
	CompletedAt time.Time // zero when the event does not say
	Part        string    // the part of the job whose result this is, "" for the whole job
	// Fields are what else it carries; BinaryFields what of that is not UTF-8.
	Fields       map[string]string
	BinaryFields map[string][]byte
}

// Result is what a worker reports.
type Result struct {
	Status Status
	Fields map[string]string
	// Error is the field "error_message"; "" for none.
	Error string
	// Part is the part of the job that this is the result of, "" for the whole job.
	Part string
}

func (r Result) check() error {
	if !r.Status.Known() {
		return invalid("status", "is missing or unknown; use one of the job statuses")
	}
	if len(r.Error) > MaxErrorBytes {
		return invalid("error_message", "has %d bytes, at most %d are allowed", len(r.Error), MaxErrorBytes)
	}
	if r.Part != "" {
		if err := CheckPart("part", r.Part); err != nil {
			return err
		}
	}
	return CheckFields("fields", r.Fields, completionFields...)
}

// Recorded is where a job's event stands.
type Recorded struct {
	Cursor string
	// Already: the job had its terminal event before, and Cursor is that one's.
	Already bool
}

// decodeEvent reads an entry of a completion stream, in either form. Whatever is not
// understood is in the fields under its own name.
func decodeEvent(jobID, id string, fields map[string]string) Event {
	e := Event{JobID: jobID, Cursor: id}
	data, isJSON := fields[fieldData]
	_, isFlat := fields[fieldStatus]
	isJSON = isJSON && !isFlat && e.decodeJSON(data)
	for name, value := range fields {
		if name == fieldLease || isJSON && name == fieldData {
			continue
		}
		e.set(name, value)
	}
	return e
}

// decodeJSON takes the JSON form; false when it is none.
func (e *Event) decodeJSON(data string) bool {
	var object, results map[string]json.RawMessage
	// A byte that is not UTF-8 becomes a replacement character, as the decoder does it:
	// the status of such an event must count.
	if json.Unmarshal([]byte(data), &object) != nil || object == nil {
		return false
	}
	for name, raw := range object {
		if name == fieldResults && json.Unmarshal(raw, &results) == nil {
			continue
		}
		e.set(name, jsonText(raw))
	}
	for name, raw := range results {
		if _, taken := e.Fields[name]; taken {
			name = fieldResults + "." + name
		}
		e.keep(name, jsonText(raw))
	}
	return true
}

func (e *Event) set(name, value string) {
	switch name {
	case fieldJobID:
		if value == e.JobID {
			return
		}
	case fieldStatus:
		if utf8.ValidString(value) {
			e.Status = Status(value)
			return
		}
	case fieldPart:
		if CheckPart(name, value) == nil {
			e.Part = value
			return
		}
	case fieldCompletedAt:
		if at, ok := ParseTime(value); ok {
			e.CompletedAt = at
			return
		}
	}
	e.keep(name, value)
}

func (e *Event) keep(name, value string) { keep(&e.Fields, &e.BinaryFields, name, value) }
