package job

import (
	"encoding/json"
	"time"
	"unicode/utf8"
)

// The fields of a completion event and of a job's state that the service writes itself.
const (
	FieldStatus      = "status"
	FieldCompletedAt = "completed_at"
	FieldError       = "error_message"
	FieldResults     = "results"
	FieldLease       = "argus_lease"
)

// Event is one completion event of a job.
type Event struct {
	JobID       string
	Cursor      string
	Status      Status
	CompletedAt time.Time // zero when the event does not say
	Part        string    // the part of the job that the result is of; "" means the whole job
	// Fields are the other fields; BinaryFields are those of them that are not UTF-8.
	Fields       map[string]string
	BinaryFields map[string][]byte
}

// DecodeEvent reads an entry of a completion stream, in either form. A value that does not parse is kept in
// the fields under its own name.
func DecodeEvent(jobID, id string, fields map[string]string) Event {
	e := Event{JobID: jobID, Cursor: id}
	data, isJSON := fields[FieldData]
	_, isFlat := fields[FieldStatus]
	isJSON = isJSON && !isFlat && e.decodeJSON(data)
	for name, value := range fields {
		if name == FieldLease || isJSON && name == FieldData {
			continue
		}
		e.set(name, value)
	}
	return e
}

// decodeJSON reads the JSON form and reports whether data is in it.
func (e *Event) decodeJSON(data string) bool {
	var object, results map[string]json.RawMessage
	// The decoder replaces bytes that are not UTF-8, which is intended: the status of such an event counts.
	if json.Unmarshal([]byte(data), &object) != nil || object == nil {
		return false
	}
	for name, raw := range object {
		if name == FieldResults && json.Unmarshal(raw, &results) == nil {
			continue
		}
		e.set(name, jsonText(raw))
	}
	for name, raw := range results {
		if _, taken := e.Fields[name]; taken {
			name = FieldResults + "." + name
		}
		e.keep(name, jsonText(raw))
	}
	return true
}

// set stores a field where it belongs: a known one that parses in its own member, any other by its name.
func (e *Event) set(name, value string) {
	switch name {
	case FieldJobID:
		if value == e.JobID {
			return
		}
	case FieldStatus:
		if utf8.ValidString(value) {
			e.Status = Status(value)
			return
		}
	case FieldPart:
		if checkPart(name, value) == nil {
			e.Part = value
			return
		}
	case FieldCompletedAt:
		if at, ok := ParseTime(value); ok {
			e.CompletedAt = at
			return
		}
	}
	e.keep(name, value)
}

func (e *Event) keep(name, value string) { keep(&e.Fields, &e.BinaryFields, name, value) }
