package redis

import (
	"context"
	"encoding/json"
	"strconv"
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

// Complete records the one terminal result of a job, or of a part of it, and settles the
// task, in one step. Repeating it with the same token is safe. Errors: ErrInvalid,
// ErrLeaseToken, ErrLeaseLost: nothing was written.
func (b *Broker) Complete(ctx context.Context, token string, result Result) (Recorded, error) {
	lease, err := b.parseLease(token)
	if err != nil {
		return Recorded{}, err
	}
	if err := result.check(); err != nil {
		return Recorded{}, err
	}
	if !result.Status.Terminal() {
		return Recorded{}, invalid("status", "is %s, want a terminal one: completed, partial, failed or cancelled", result.Status)
	}
	return b.complete(ctx, lease, result)
}

// Report records an event for a worker without a lease. A terminal one is recorded in
// the job's state as well. ErrOutcomeUnknown: a status that is not terminal may or may
// not have been reported.
func (b *Broker) Report(ctx context.Context, jobID string, result Result) (Recorded, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return Recorded{}, err
	}
	if err := result.check(); err != nil {
		return Recorded{}, err
	}
	if result.Part != "" && !result.Status.Terminal() {
		return Recorded{}, invalid("part", "gets one result, a terminal one; progress is reported of the whole job")
	}
	return b.complete(ctx, Lease{Queue: b.config.DefaultQueue, JobID: jobID}, result)
}

// maxEvents is how many events a job may have before its terminal one. They are never
// trimmed: a watch must not miss any.
const maxEvents = 1000

func (b *Broker) complete(ctx context.Context, lease Lease, result Result) (Recorded, error) {
	r := recording{jobID: lease.JobID, part: result.Part, queue: b.queueConfig(lease.Queue), results: []Result{result}}
	count := ""
	if lease.EntryID != "" {
		r.mark, count = lease.mark(), strconv.Itoa(lease.Count)
	}
	unknown, most := once, strconv.Itoa(maxEvents)
	if result.Status.Terminal() {
		unknown, most = repeatable, ""
	}
	reply, err := b.record(ctx, completeScript, unknown, r, []string{b.keys.tasks(lease.Queue)},
		[]any{lease.Group, lease.EntryID, lease.Consumer, count, most})
	if err != nil {
		return Recorded{}, err
	}
	b.settled(lease)
	switch reply[0] {
	case "OK", "ALREADY":
		return Recorded{Cursor: reply[1], Already: reply[0] == "ALREADY"}, nil
	case "FULL":
		return Recorded{}, ErrTooManyEvents
	case "NO_PART":
		return Recorded{}, invalid("part", "is none of the job's parts; they are named when its state is created")
	}
	return Recorded{}, ErrLeaseLost
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
