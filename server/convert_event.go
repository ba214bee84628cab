package server

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

func toEvent(e *job.Event) *argusv1.CompletionEvent {
	event := &argusv1.CompletionEvent{
		JobId:        e.JobID,
		Cursor:       e.Cursor,
		Status:       toStatusEnum(e.Status),
		StatusText:   string(e.Status),
		Terminal:     e.Status.Terminal(),
		CompletedAt:  toTimestamp(e.CompletedAt),
		Part:         e.Part,
		Fields:       e.Fields,
		BinaryFields: e.BinaryFields,
	}
	if size := proto.Size(event); size > maxMessage-frameOverhead {
		// A raw peer wrote it. Its fields are dropped, so that the client learns that the job is done.
		event.Fields = map[string]string{job.TruncatedField: fmt.Sprintf("the event's %d bytes exceed the maximum message size", size)}
		event.BinaryFields = nil
		if len(event.StatusText) > job.MaxNameBytes {
			event.StatusText = strings.ToValidUTF8(event.StatusText[:job.MaxNameBytes], "")
		}
	}
	return event
}

const (
	// maxMessage is the size that clients accept by default.
	maxMessage = guard.MaxResponseBytes
	// frameOverhead is what a message needs around its largest part.
	frameOverhead = 1 << 10
)

// valid replaces what is not UTF-8, which no message can carry.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

const statusPrefix = "JOB_STATUS_"

// toStatusEnum converts a status. An unknown word becomes UNSPECIFIED.
func toStatusEnum(s job.Status) argusv1.JobStatus {
	if !s.Known() {
		return argusv1.JobStatus_JOB_STATUS_UNSPECIFIED
	}
	return argusv1.JobStatus(argusv1.JobStatus_value[statusPrefix+strings.ToUpper(string(s))])
}

// fromStatusEnum converts a status. UNSPECIFIED and unknown values become "".
func fromStatusEnum(s argusv1.JobStatus) job.Status {
	return statuses[s]
}

// statuses are the words that Redis holds for the values of the enum.
var statuses = func() map[argusv1.JobStatus]job.Status {
	words := make(map[argusv1.JobStatus]job.Status)
	for value, name := range argusv1.JobStatus_name {
		if s := argusv1.JobStatus(value); s != argusv1.JobStatus_JOB_STATUS_UNSPECIFIED {
			words[s] = job.Status(strings.ToLower(strings.TrimPrefix(name, statusPrefix)))
		}
	}
	return words
}()
