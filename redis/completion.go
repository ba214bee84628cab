package redis

import (
	"context"
	"encoding/json"
	"fmt"
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

var completionFields = []string{fieldJobID, fieldStatus, fieldCompletedAt, fieldError, fieldData, fieldResults}

// MaxErrorBytes is how long the error message of a completion may be.
const MaxErrorBytes = 64 << 10

// Event is one completion event of a job.
type Event struct {
	JobID       string
	Cursor      string
	Status      Status
	CompletedAt time.Time // zero when the event does not say
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
}

func (r Result) check() error {
	if !r.Status.Known() {
		return invalid("status", "is missing or unknown; use one of the job statuses")
	}
	if len(r.Error) > MaxErrorBytes {
		return invalid("error_message", "has %d bytes, at most %d are allowed", len(r.Error), MaxErrorBytes)
	}
	return CheckFields("fields", r.Fields, completionFields...)
}

// Recorded is where a job's event stands.
type Recorded struct {
	Cursor string
	// Already: the job had its terminal event before, and Cursor is that one's.
	Already bool
}

// Complete records a job's one terminal result and settles its task, in one step.
// Repeating it with the same token is safe. Errors: ErrInvalid, ErrLeaseToken,
// ErrLeaseLost: nothing was written.
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
	return b.record(ctx, lease, result)
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
	return b.record(ctx, Lease{Queue: b.config.DefaultQueue, JobID: jobID}, result)
}

// maxEvents is how many events a job may have before its terminal one. They are never
// trimmed: a watch must not miss any.
const maxEvents = 1000

// maxJudgements bounds how often a raw peer's new events can interrupt a record.
const maxJudgements = 20

func (b *Broker) record(ctx context.Context, lease Lease, result Result) (Recorded, error) {
	keys := []string{b.keys.state(lease.JobID), b.keys.completion(lease.JobID), b.keys.tasks(lease.Queue)}
	now, mark, count := time.Now(), "", ""
	if lease.EntryID != "" {
		mark, count = lease.mark(), strconv.Itoa(lease.Count)
	}
	unknown, most, state := once, strconv.Itoa(maxEvents), []string(nil)
	if result.Status.Terminal() {
		unknown, most, state = repeatable, "", result.state(now)
	}
	event := result.event(lease.JobID, now, b.queueConfig(lease.Queue).Encoding)
	if mark != "" {
		event = append(event, fieldLease, mark)
	}
	var judgements []string
	for range maxJudgements {
		args := []any{lease.Group, lease.EntryID, lease.Consumer, count, b.config.StateTTL.Milliseconds(),
			b.config.CompletionTTL.Milliseconds(), mark, most, len(judgements) / 2}
		args = appendStrings(args, judgements)
		args = appendStrings(append(args, len(state)), state)
		reply, err := completeScript.strings(ctx, b.client, unknown, keys, appendStrings(args, event)...)
		if err != nil {
			return Recorded{}, err
		}
		switch reply[0] {
		case "OK":
			b.bell.ringAll(keys[1])
			return Recorded{Cursor: reply[1]}, nil
		case "ALREADY":
			return Recorded{Cursor: reply[1], Already: true}, nil
		case "JUDGE":
			judgements = append(judgements, judge(lease.JobID, reply[1:])...)
		case "FULL":
			return Recorded{}, ErrTooManyEvents
		default:
			return Recorded{}, ErrLeaseLost
		}
	}
	return Recorded{}, fmt.Errorf("complete: %w: events are appended faster than they can be read", ErrUnavailable)
}

// judge reads events in the JSON form, given as id, data, …, and says their statuses.
func judge(jobID string, events []string) []string {
	for i := 0; i+1 < len(events); i += 2 {
		events[i+1] = string(decodeEvent(jobID, events[i], map[string]string{fieldData: events[i+1]}).Status)
	}
	return events
}

func appendStrings(args []any, list []string) []any {
	for _, s := range list {
		args = append(args, s)
	}
	return args
}

// state is the result as fields of the job's state.
func (r Result) state(now time.Time) []string {
	state := append(pairs(r.Fields), fieldStatus, string(r.Status), fieldCompletedAt, strconv.FormatInt(now.Unix(), 10))
	if r.Error != "" {
		state = append(state, fieldError, r.Error)
	}
	return state
}

// event is the result as an entry of the completion stream.
func (r Result) event(jobID string, now time.Time, encoding Encoding) []string {
	if encoding == EncodingJSON {
		object := map[string]any{
			fieldJobID:       jobID,
			fieldStatus:      string(r.Status),
			fieldCompletedAt: now.UTC().Format(time.RFC3339),
			fieldResults:     r.Fields,
		}
		if r.Fields == nil {
			object[fieldResults] = struct{}{}
		}
		if r.Error != "" {
			object[fieldError] = r.Error
		}
		return []string{fieldData, string(marshal(object))}
	}
	return append([]string{fieldJobID, jobID}, r.state(now)...)
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
	case fieldCompletedAt:
		if at, ok := ParseTime(value); ok {
			e.CompletedAt = at
			return
		}
	}
	e.keep(name, value)
}

func (e *Event) keep(name, value string) { keep(&e.Fields, &e.BinaryFields, name, value) }
