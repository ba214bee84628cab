package result

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Write is what may be recorded of a job, as lua/record.lua takes it, and the answers
// to that script's questions.
type Write struct {
	JobID string
	Part  string // the part of the job that this is a result of, "" for the whole job
	mark  string // of the lease, "" for none
	Queue job.QueueSettings
	// Results are the results that the script chooses from.
	Results []job.Result

	judgements []string // event id, status, …
	parts      string   // the job's parts and their statuses: "trivy=completed clamav="
	asked      int      // questions since the script last came further in the job's events
}

// maxQuestions bounds how often others' writes can make a script ask again at one place of
// the job's events.
const maxQuestions = 20 + job.MaxParts

// Record runs a script that may record a result, until it has no more questions.
func (rec *Recorder) Record(ctx context.Context, s *conn.Script, e conn.Effect, r Write, keys []string, head []any) ([]string, error) {
	keys = append([]string{rec.Keys.State(r.JobID), rec.Keys.Completion(r.JobID), rec.Keys.Scratch(), rec.Keys.Active(r.JobID), rec.Keys.Scan(r.JobID), rec.Keys.Parts(r.JobID)}, keys...)
	head = append(head, rec.Settings.StateTTL.Milliseconds(), rec.Settings.CompletionTTL.Milliseconds())
	now := time.Now()
	for r.asked <= maxQuestions {
		reply, err := s.Strings(ctx, rec.Conn, e, keys, conn.AppendStrings(slices.Clone(head), r.args(nil, now))...)
		if err != nil {
			return nil, err
		}
		switch {
		case r.answer(reply):
			continue
		case slices.Contains([]string{"DEAD", "CANCELLED", "DROPPED"}, reply[0]): // perhaps with a result
			rec.watches.StateWritten(r.JobID)
			rec.watches.EventsWritten(r.JobID)
		}
		return reply, nil
	}
	return nil, errContended(s)
}

func errContended(s *conn.Script) error {
	return fmt.Errorf("%s: %w: the job is written to faster than it can be read", s.Name, job.ErrUnavailable)
}

// answer takes a script's question; false when it is none.
func (r *Write) answer(reply []string) bool {
	r.asked++
	switch reply[0] {
	case "JUDGE":
		r.judgements = append(r.judgements, classifyEvents(r.JobID, reply[1:])...)
	case "PARTS":
		r.parts = reply[1]
	case "PART":
		r.Part = reply[1]
	case "AGAIN":
		if r.asked = 0; reply[1] != "" { // what was judged lies behind the position
			r.judgements = nil
		}
	default:
		return false
	}
	return true
}

// classifyEvents reads events in the JSON form, given as id, data, …, and says their statuses.
func classifyEvents(jobID string, events []string) []string {
	for i := 0; i+1 < len(events); i += 2 {
		events[i+1] = string(job.DecodeEvent(jobID, events[i], map[string]string{job.FieldData: events[i+1]}).Status)
	}
	return events
}

// args appends the recording to a script's arguments.
func (r *Write) args(args resp.Command, now time.Time) resp.Command {
	args.Add(r.JobID)
	args.Counted(r.judgements...)
	args.Add(r.mark, r.Part, r.parts)
	for i := range r.Results {
		result := &r.Results[i]
		large := ""
		if result.Size() > job.SmallResult {
			large = " large"
		}
		if r.Part == "" && r.Queue.Encoding == job.EncodingFields && result.Status.Terminal() {
			args.Add("final"+large, string(result.Status))
			args = result.Whole(args, now)
			continue
		}
		w := r.write(*result, now)
		final := ""
		if w.status.Terminal() {
			final = "final"
		}
		args.Add(final+large, string(result.Status))
		args.Counted(job.Pairs(w.state)...)
		event := w.event(r.JobID, r.Queue.Encoding, now)
		if r.mark != "" {
			event = append(event, job.FieldLease, r.mark)
		}
		args.Counted(event...)
	}
	return args
}

// writtenResult is a result as it is written.
type writtenResult struct {
	status job.Status        // of the job, with this result
	state  map[string]string // fields for the job's state
	fields map[string]string // of the event, beside its status and its error
	err    string            // of the event
	part   string
}

// write works out what a result means for the job.
func (r *Write) write(result job.Result, now time.Time) writtenResult {
	w := writtenResult{status: result.Status, fields: result.Fields, err: result.Error, part: r.Part}
	switch {
	case r.Part != "":
		r.writePart(&w, result)
	case result.Status.Terminal():
		w.state = maps.Clone(result.Fields)
	default: // progress is an event only
		return w
	}
	if w.state == nil {
		w.state = make(map[string]string)
	}
	w.state[job.FieldStatus] = string(w.status)
	if w.status.Terminal() {
		w.state[job.FieldCompletedAt] = strconv.FormatInt(now.Unix(), 10)
	}
	if result.Error != "" {
		w.state[job.FieldError] = result.Error
		if r.Part != "" {
			w.state[job.FieldError] = r.Part + ": " + result.Error
		}
	}
	return w
}

// writePart is write for a result of one part: the job's status follows from all parts.
func (r *Write) writePart(w *writtenResult, result job.Result) {
	w.fields, w.state = maps.Clone(result.Fields), maps.Clone(result.Fields)
	if w.fields == nil {
		w.fields, w.state = make(map[string]string), make(map[string]string)
	}
	statuses := map[string]job.Status{r.Part: result.Status}
	for pair := range strings.FieldsSeq(r.parts) {
		if name, status, _ := strings.Cut(pair, "="); name != r.Part {
			statuses[name] = job.Status(status)
		}
	}
	w.status = combine(statuses)
	w.state[r.Part+job.StatusSuffix] = string(result.Status)
	w.fields[r.Part+job.StatusSuffix] = string(result.Status)
	if w.status.Terminal() {
		for name, status := range statuses {
			w.fields[name+job.StatusSuffix] = string(status)
		}
	}
}

// combine is the status of a job whose parts have these: running while one is missing,
// completed when all are, failed or cancelled when none has anything to show, else partial.
func combine(parts map[string]job.Status) job.Status {
	count := make(map[job.Status]int)
	for _, status := range parts {
		if !status.Terminal() {
			return job.StatusRunning
		}
		count[status]++
	}
	switch len(parts) {
	case count[job.StatusCompleted]:
		return job.StatusCompleted
	case count[job.StatusCancelled]:
		return job.StatusCancelled
	case count[job.StatusFailed] + count[job.StatusCancelled]:
		return job.StatusFailed
	}
	return job.StatusPartial
}

// event is the write as an entry of the completion stream.
func (w writtenResult) event(jobID string, encoding job.Encoding, now time.Time) []string {
	if encoding == job.EncodingJSON {
		object := map[string]any{
			job.FieldJobID:       jobID,
			job.FieldStatus:      string(w.status),
			job.FieldCompletedAt: now.UTC().Format(time.RFC3339),
			job.FieldResults:     w.fields,
		}
		if w.fields == nil {
			object[job.FieldResults] = struct{}{}
		}
		for name, value := range map[string]string{job.FieldError: w.err, job.FieldPart: w.part} {
			if value != "" {
				object[name] = value
			}
		}
		return []string{job.FieldData, string(job.Marshal(object))}
	}
	event := []string{job.FieldJobID, jobID, job.FieldStatus, string(w.status), job.FieldCompletedAt, strconv.FormatInt(now.Unix(), 10)}
	if w.part != "" {
		event = append(event, job.FieldPart, w.part)
	}
	if w.err != "" {
		event = append(event, job.FieldError, w.err)
	}
	return append(event, job.Pairs(w.fields)...)
}
