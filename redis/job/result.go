package job

import (
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// SmallResultBytes is the size up to which the fields of a result are written to the job's state however
// large the state is.
const SmallResultBytes = 8 << 10

// maxErrorBytes is the maximum length of a result's error message.
const maxErrorBytes = 64 << 10

// completionFields are the names that a field of a result must not have.
var completionFields = []string{FieldJobID, FieldStatus, FieldCompletedAt, FieldError, FieldPart, FieldData, FieldResults}

// Result is what a worker reports about a job.
type Result struct {
	Status Status
	Fields map[string]string
	// Error becomes the field "error_message"; "" means none.
	Error string
	// Part is the part of the job that the result is of; "" means the whole job.
	Part string
}

// Check reports what is wrong with the result, as an *ArgumentError.
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

// Size returns the number of bytes that the result adds to the job's state.
func (r Result) Size() int { return len(r.Error) + FieldsSize(r.Fields) }

// AppendTo appends the result of a whole job to a script's arguments: the fields of the state, counted, and -1
// instead of the fields of the event, which are the same.
func (r Result) AppendTo(args resp.Command, now time.Time) resp.Command {
	at := len(args)
	args.Add("", FieldStatus, string(r.Status), FieldCompletedAt, strconv.FormatInt(now.Unix(), 10))
	if r.Error != "" {
		args.Add(FieldError, r.Error)
	}
	args = appendPairs(args, r.Fields)
	args[at] = strconv.Itoa(len(args) - at - 1)
	args.Add("-1")
	return args
}

// Recorded is the position of a job's event.
type Recorded struct {
	Cursor string
	// Already is true when the job had its terminal event before; Cursor is then that event's.
	Already bool
}
