package job

import (
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// The names of the fields of a completion event and of a job's state that this
// package writes itself.
const (
	FieldStatus      = "status"
	FieldCompletedAt = "completed_at"
	FieldError       = "error_message"
	FieldResults     = "results"
	FieldLease       = "argus_lease"
)

var completionFields = []string{FieldJobID, FieldStatus, FieldCompletedAt, FieldError, FieldPart, FieldData, FieldResults}

// maxErrorBytes is how long the error message of a completion may be.
const maxErrorBytes = 64 << 10

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

func (r Result) Check() error {
	if !r.Status.Known() {
		return Invalid("status", "is missing or unknown; use one of the job statuses")
	}
	if len(r.Error) > maxErrorBytes {
		return Invalid("error_message", "has %d bytes, at most %d are allowed", len(r.Error), maxErrorBytes)
	}
	if r.Part != "" {
		if err := checkPart("part", r.Part); err != nil {
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

// DecodeEvent reads an entry of a completion stream, in either form. Whatever is not
// understood is in the fields under its own name.
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

// decodeJSON takes the JSON form; false when it is none.
func (e *Event) decodeJSON(data string) bool {
	var object, results map[string]json.RawMessage
	// A byte that is not UTF-8 becomes a replacement character, as the decoder does it:
	// the status of such an event must count.
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

// SmallResultBytes is up to how many bytes a result's fields go into the job's state however large
// that is.
const SmallResultBytes = 8 << 10

// Size is how many bytes the result puts into the job's state.
func (result *Result) Size() int {
	bytes := len(result.Error)
	for name, value := range result.Fields {
		bytes += len(name) + len(value)
	}
	return bytes
}

// AppendTo appends the result of a whole job, whose state and event have the same fields.
func (result *Result) AppendTo(args resp.Command, now time.Time) resp.Command {
	at := len(args)
	args.Add("", FieldStatus, string(result.Status), FieldCompletedAt, strconv.FormatInt(now.Unix(), 10))
	if result.Error != "" {
		args.Add(FieldError, result.Error)
	}
	args = appendPairs(args, result.Fields)
	args[at] = strconv.Itoa(len(args) - at - 1)
	args.Add("-1")
	return args
}
