package result

import (
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

	statuses []string // the answers to VerdictJudge: event id, status, …
	parts    string   // the answer to VerdictParts, the job's parts and their statuses: "trivy=completed clamav="
	asked    int      // questions since the script last advanced in the job's events
}

// maxQuestions bounds how often concurrent writes can make a script ask again at one place of
// the job's events.
const maxQuestions = 20 + job.MaxParts

// answer records the answer to a script's question; it returns false when the reply is not a question.
func (w *Write) answer(reply []string) bool {
	w.asked++
	switch reply[0] {
	case conn.VerdictJudge:
		w.statuses = append(w.statuses, classifyEvents(w.JobID, reply[1:])...)
	case conn.VerdictParts:
		w.parts = reply[1]
	case conn.VerdictPart:
		w.Part = reply[1]
	case conn.VerdictAgain:
		if w.asked = 0; reply[1] != "" { // the events classified so far lie before the position
			w.statuses = nil
		}
	default:
		return false
	}
	return true
}

// classifyEvents decodes events in the JSON form, given as id, data, …, and returns id, status, …
func classifyEvents(jobID string, events []string) []string {
	for i := 0; i+1 < len(events); i += 2 {
		events[i+1] = string(job.DecodeEvent(jobID, events[i], map[string]string{job.FieldData: events[i+1]}).Status)
	}
	return events
}

// appendArgs appends the write to a script's arguments, as the function recording in lua/record.lua reads it.
func (w *Write) appendArgs(args resp.Command, now time.Time) resp.Command {
	args.Add(w.JobID)
	args.Counted(w.statuses...)
	args.Add(w.mark, w.Part, w.parts)
	for _, result := range w.Results {
		args = w.appendResult(args, result, now)
	}
	return args
}

// appendResult appends one possible result. State and event of a whole job's result have the same fields
// unless the event is JSON; then they are sent once.
func (w *Write) appendResult(args resp.Command, result job.Result, now time.Time) resp.Command {
	isShared := w.Part == "" && w.Queue.Encoding == job.EncodingFields && result.Status.Terminal()
	if isShared {
		args.Add(resultFlags(true, &result), string(result.Status))
		return result.AppendTo(args, now)
	}
	change := newJobChange(result, w.Part, w.parts, now)
	args.Add(resultFlags(change.status.Terminal(), &result), string(result.Status))
	args.Counted(job.Pairs(change.state)...)
	event := change.encode(w.JobID, w.Queue.Encoding, now)
	if w.mark != "" {
		event = append(event, job.FieldLease, w.mark)
	}
	args.Counted(event...)
	return args
}

// resultFlags is the script's first word on a result: whether the job ends by it, and whether it may make the
// state too large.
func resultFlags(isFinal bool, result *job.Result) string {
	var flags strings.Builder
	if isFinal {
		flags.WriteString("final")
	}
	if result.Size() > job.SmallResultBytes {
		flags.WriteString(" large")
	}
	return flags.String()
}
