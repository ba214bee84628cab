package redis

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// recording is what may be recorded of a job, as lua/record.lua takes it, and the answers
// to that script's questions.
type recording struct {
	jobID string
	part  string // the part of the job that this is a result of, "" for the whole job
	mark  string // of the lease, "" for none
	queue QueueConfig
	// results are the results that the script chooses from.
	results []Result

	judgements []string // event id, status, …
	parts      string   // the job's parts and their statuses: "trivy=completed clamav="
	asked      int      // questions since the script last came further in the job's events
}

// maxQuestions bounds how often others' writes can make a script ask again at one place of
// the job's events.
const maxQuestions = 20 + MaxParts

// record runs a script that may record a result, until it has no more questions.
func (b *Broker) record(ctx context.Context, s *script, e effect, r recording, keys []string, head []any) ([]string, error) {
	keys = append([]string{b.keys.state(r.jobID), b.keys.completion(r.jobID), b.keys.scratch(), b.keys.active(r.jobID), b.keys.scan(r.jobID), b.keys.parts(r.jobID)}, keys...)
	head = append(head, b.config.StateTTL.Milliseconds(), b.config.CompletionTTL.Milliseconds())
	now := time.Now()
	for r.asked <= maxQuestions {
		reply, err := s.strings(ctx, b.client, e, keys, appendStrings(slices.Clone(head), r.args(nil, now))...)
		if err != nil {
			return nil, err
		}
		switch {
		case r.answer(reply):
			continue
		case slices.Contains([]string{"DEAD", "CANCELLED", "DROPPED"}, reply[0]): // perhaps with a result
			b.ringState(r.jobID)
			b.ringEvents(r.jobID)
		}
		return reply, nil
	}
	return nil, errRestless(s)
}

func errRestless(s *script) error {
	return fmt.Errorf("%s: %w: the job is written to faster than it can be read", s.name, ErrUnavailable)
}

// answer takes a script's question; false when it is none.
func (r *recording) answer(reply []string) bool {
	r.asked++
	switch reply[0] {
	case "JUDGE":
		r.judgements = append(r.judgements, judge(r.jobID, reply[1:])...)
	case "PARTS":
		r.parts = reply[1]
	case "PART":
		r.part = reply[1]
	case "AGAIN":
		if r.asked = 0; reply[1] != "" { // what was judged lies behind the position
			r.judgements = nil
		}
	default:
		return false
	}
	return true
}

// judge reads events in the JSON form, given as id, data, …, and says their statuses.
func judge(jobID string, events []string) []string {
	for i := 0; i+1 < len(events); i += 2 {
		events[i+1] = string(decodeEvent(jobID, events[i], map[string]string{fieldData: events[i+1]}).Status)
	}
	return events
}

// args appends the recording to a script's arguments.
func (r *recording) args(args words, now time.Time) words {
	args.add(r.jobID)
	args.counted(r.judgements...)
	args.add(r.mark, r.part, r.parts)
	for i := range r.results {
		result := &r.results[i]
		large := ""
		if result.size() > smallResult {
			large = " large"
		}
		if r.part == "" && r.queue.Encoding == EncodingFields && result.Status.Terminal() {
			args.add("final"+large, string(result.Status))
			args = result.whole(args, now)
			continue
		}
		w := r.write(*result, now)
		final := ""
		if w.status.Terminal() {
			final = "final"
		}
		args.add(final+large, string(result.Status))
		args.counted(pairs(w.state)...)
		event := w.event(r.jobID, r.queue.Encoding, now)
		if r.mark != "" {
			event = append(event, fieldLease, r.mark)
		}
		args.counted(event...)
	}
	return args
}

// smallResult is up to how many bytes a result's fields go into the job's state however large
// that is.
const smallResult = 8 << 10

// size is how many bytes the result puts into the job's state.
func (result *Result) size() int {
	bytes := len(result.Error)
	for name, value := range result.Fields {
		bytes += len(name) + len(value)
	}
	return bytes
}

// whole appends the result of a whole job, whose state and event have the same fields.
func (result *Result) whole(args words, now time.Time) words {
	at := len(args)
	args.add("", fieldStatus, string(result.Status), fieldCompletedAt, strconv.FormatInt(now.Unix(), 10))
	if result.Error != "" {
		args.add(fieldError, result.Error)
	}
	args = appendPairs(args, result.Fields)
	args[at] = strconv.Itoa(len(args) - at - 1)
	args.add("-1")
	return args
}

func appendStrings(args []any, list []string) []any {
	for _, s := range list {
		args = append(args, s)
	}
	return args
}

// resultWrite is a result as it is written.
type resultWrite struct {
	status Status            // of the job, with this result
	state  map[string]string // fields for the job's state
	fields map[string]string // of the event, beside its status and its error
	err    string            // of the event
	part   string
}

// write works out what a result means for the job.
func (r *recording) write(result Result, now time.Time) resultWrite {
	w := resultWrite{status: result.Status, fields: result.Fields, err: result.Error, part: r.part}
	switch {
	case r.part != "":
		r.writePart(&w, result)
	case result.Status.Terminal():
		w.state = maps.Clone(result.Fields)
	default: // progress is an event only
		return w
	}
	if w.state == nil {
		w.state = make(map[string]string)
	}
	w.state[fieldStatus] = string(w.status)
	if w.status.Terminal() {
		w.state[fieldCompletedAt] = strconv.FormatInt(now.Unix(), 10)
	}
	if result.Error != "" {
		w.state[fieldError] = result.Error
		if r.part != "" {
			w.state[fieldError] = r.part + ": " + result.Error
		}
	}
	return w
}

// statusSuffix makes the name of the field that says the status of a part.
const statusSuffix = "_status"

// writePart is write for a result of one part: the job's status follows from all parts.
func (r *recording) writePart(w *resultWrite, result Result) {
	w.fields, w.state = maps.Clone(result.Fields), maps.Clone(result.Fields)
	if w.fields == nil {
		w.fields, w.state = make(map[string]string), make(map[string]string)
	}
	statuses := map[string]Status{r.part: result.Status}
	for pair := range strings.FieldsSeq(r.parts) {
		if name, status, _ := strings.Cut(pair, "="); name != r.part {
			statuses[name] = Status(status)
		}
	}
	w.status = combine(statuses)
	w.state[r.part+statusSuffix] = string(result.Status)
	w.fields[r.part+statusSuffix] = string(result.Status)
	if w.status.Terminal() {
		for name, status := range statuses {
			w.fields[name+statusSuffix] = string(status)
		}
	}
}

// combine is the status of a job whose parts have these: running while one is missing,
// completed when all are, failed or cancelled when none has anything to show, else partial.
func combine(parts map[string]Status) Status {
	count := make(map[Status]int)
	for _, status := range parts {
		if !status.Terminal() {
			return StatusRunning
		}
		count[status]++
	}
	switch len(parts) {
	case count[StatusCompleted]:
		return StatusCompleted
	case count[StatusCancelled]:
		return StatusCancelled
	case count[StatusFailed] + count[StatusCancelled]:
		return StatusFailed
	}
	return StatusPartial
}

// event is the write as an entry of the completion stream.
func (w resultWrite) event(jobID string, encoding Encoding, now time.Time) []string {
	if encoding == EncodingJSON {
		object := map[string]any{
			fieldJobID:       jobID,
			fieldStatus:      string(w.status),
			fieldCompletedAt: now.UTC().Format(time.RFC3339),
			fieldResults:     w.fields,
		}
		if w.fields == nil {
			object[fieldResults] = struct{}{}
		}
		for name, value := range map[string]string{fieldError: w.err, fieldPart: w.part} {
			if value != "" {
				object[name] = value
			}
		}
		return []string{fieldData, string(marshal(object))}
	}
	event := []string{fieldJobID, jobID, fieldStatus, string(w.status), fieldCompletedAt, strconv.FormatInt(now.Unix(), 10)}
	if w.part != "" {
		event = append(event, fieldPart, w.part)
	}
	if w.err != "" {
		event = append(event, fieldError, w.err)
	}
	return append(event, pairs(w.fields)...)
}
