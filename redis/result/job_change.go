package result

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// jobChange is what a result changes: fields of the job's state, and the job's next event.
type jobChange struct {
	status job.Status        // of the job, with this result
	state  map[string]string // fields for the job's state; nil for progress, which is an event only
	fields map[string]string // of the event, besides its status and its error
	err    string            // of the event
	part   string
}

// newJobChange works out what a result means for the job. parts are the statuses of all parts so far, as
// the script reports them, if the result is one part's.
func newJobChange(result job.Result, part, parts string, now time.Time) jobChange {
	c := jobChange{status: result.Status, fields: result.Fields, err: result.Error, part: part}
	switch {
	case part != "":
		c.setPart(result, parts)
	case result.Status.Terminal():
		c.state = cloned(result.Fields)
	default:
		return c
	}
	c.state[job.FieldStatus] = string(c.status)
	if c.status.Terminal() {
		c.state[job.FieldCompletedAt] = strconv.FormatInt(now.Unix(), 10)
	}
	switch {
	case result.Error != "" && part != "":
		c.state[job.FieldError] = part + ": " + result.Error
	case result.Error != "":
		c.state[job.FieldError] = result.Error
	}
	return c
}

// setPart derives the job's status from the statuses of all parts. The event that ends the job carries all
// of them.
func (c *jobChange) setPart(result job.Result, parts string) {
	c.fields, c.state = cloned(result.Fields), cloned(result.Fields)
	statuses := parseParts(parts)
	statuses[c.part] = result.Status
	c.status = combine(statuses)
	c.state[c.part+job.StatusSuffix] = string(result.Status)
	c.fields[c.part+job.StatusSuffix] = string(result.Status)
	if c.status.Terminal() {
		for name, status := range statuses {
			c.fields[name+job.StatusSuffix] = string(status)
		}
	}
}

// cloned is a copy that can be written to.
func cloned(fields map[string]string) map[string]string {
	if fields == nil {
		return make(map[string]string)
	}
	return maps.Clone(fields)
}

// parseParts reads "trivy=completed clamav=": the statuses of a job's parts, "" for one without a result.
func parseParts(text string) map[string]job.Status {
	statuses := make(map[string]job.Status)
	for pair := range strings.FieldsSeq(text) {
		name, status, _ := strings.Cut(pair, "=")
		statuses[name] = job.Status(status)
	}
	return statuses
}

// combine is the status of a job with parts: RUNNING while a part has no result; COMPLETED or CANCELLED if
// all parts are; FAILED if all parts failed or were cancelled; else PARTIAL.
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

// encode is the change as an entry of the completion stream: field, value, …
func (c *jobChange) encode(jobID string, encoding job.Encoding, now time.Time) []string {
	if encoding == job.EncodingJSON {
		return []string{job.FieldData, string(job.EncodeJSON(c.object(jobID, now)))}
	}
	event := []string{job.FieldJobID, jobID, job.FieldStatus, string(c.status), job.FieldCompletedAt, strconv.FormatInt(now.Unix(), 10)}
	if c.part != "" {
		event = append(event, job.FieldPart, c.part)
	}
	if c.err != "" {
		event = append(event, job.FieldError, c.err)
	}
	return append(event, job.Pairs(c.fields)...)
}

// object is the event as a JSON object.
func (c *jobChange) object(jobID string, now time.Time) map[string]any {
	object := map[string]any{
		job.FieldJobID:       jobID,
		job.FieldStatus:      string(c.status),
		job.FieldCompletedAt: now.UTC().Format(time.RFC3339),
		job.FieldResults:     c.fields,
	}
	if c.fields == nil {
		object[job.FieldResults] = struct{}{}
	}
	if c.err != "" {
		object[job.FieldError] = c.err
	}
	if c.part != "" {
		object[job.FieldPart] = c.part
	}
	return object
}
