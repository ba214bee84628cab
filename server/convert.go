package server

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// fromTask takes a task from a request; field is its place there.
func fromTask(field string, t *argusv1.Task) (redis.Task, error) {
	if t == nil {
		return redis.Task{}, missing(field)
	}
	created, err := fromTimestamp(field+".created_at", t.GetCreatedAt())
	if err != nil {
		return redis.Task{}, err
	}
	return redis.Task{
		JobID:            t.GetJobId(),
		ReportID:         t.GetReportId(),
		OrganizationID:   t.GetOrganizationId(),
		GCSURI:           t.GetGcsUri(),
		Scanners:         t.GetScanners(),
		TimeoutSeconds:   t.GetTimeoutSeconds(),
		Part:             t.GetPart(),
		CreatedAt:        created,
		Attributes:       t.GetAttributes(),
		BinaryAttributes: t.GetBinaryAttributes(),
	}, nil
}

// fromInitialState takes the state that a publish creates, nil for none.
func fromInitialState(s *argusv1.InitialState) (*redis.InitialState, error) {
	if s == nil {
		return nil, nil
	}
	ttl, err := fromTTL("initial_state.ttl", s.GetTtl())
	return &redis.InitialState{Fields: s.GetFields(), TTL: ttl, Parts: s.GetParts()}, err
}

func toDelivery(d redis.Delivery) *argusv1.Delivery {
	return &argusv1.Delivery{
		LeaseToken:      d.Lease.Token(),
		MessageId:       d.Lease.EntryID,
		DeliveryAttempt: int32(d.Attempt),
		LeaseExpireTime: timestamppb.New(d.ExpiresAt),
		PublishTime:     timestamppb.New(d.PublishedAt),
		Failures:        int32(d.Failures),
		Task:            toTask(d.Task),
	}
}

func toTask(t redis.Task) *argusv1.Task {
	return &argusv1.Task{
		JobId:            t.JobID,
		ReportId:         t.ReportID,
		OrganizationId:   t.OrganizationID,
		GcsUri:           t.GCSURI,
		Scanners:         t.Scanners,
		TimeoutSeconds:   t.TimeoutSeconds,
		Part:             t.Part,
		CreatedAt:        toTimestamp(t.CreatedAt),
		Attributes:       t.Attributes,
		BinaryAttributes: t.BinaryAttributes,
	}
}

func toEvent(e *redis.Event) *argusv1.CompletionEvent {
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
		// A raw peer's: that the job is done must be told all the same.
		event.Fields = map[string]string{truncatedField: fmt.Sprintf("the event's %d bytes are more than a message can hold", size)}
		event.BinaryFields = nil
		if len(event.StatusText) > redis.MaxNameBytes {
			event.StatusText = strings.ToValidUTF8(event.StatusText[:redis.MaxNameBytes], "")
		}
	}
	return event
}

// truncatedField stands in an event whose own fields were left out, and says why.
const truncatedField = "argus_truncated"

// frameOverhead is what a message takes around an event.
const frameOverhead = 1 << 10

const statusPrefix = "JOB_STATUS_"

// toStatusEnum is UNSPECIFIED for a word that is no status.
func toStatusEnum(s redis.Status) argusv1.JobStatus {
	if !s.Known() {
		return argusv1.JobStatus_JOB_STATUS_UNSPECIFIED
	}
	return argusv1.JobStatus(argusv1.JobStatus_value[statusPrefix+strings.ToUpper(string(s))])
}

// fromStatusEnum is "" for what is no status.
func fromStatusEnum(s argusv1.JobStatus) redis.Status {
	name, ok := argusv1.JobStatus_name[int32(s)]
	if !ok || s == argusv1.JobStatus_JOB_STATUS_UNSPECIFIED {
		return ""
	}
	return redis.Status(strings.ToLower(strings.TrimPrefix(name, statusPrefix)))
}

func toTimestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func fromTimestamp(field string, t *timestamppb.Timestamp) (time.Time, error) {
	if t == nil {
		return time.Time{}, nil
	}
	if err := t.CheckValid(); err != nil {
		return time.Time{}, &redis.ArgumentError{Field: field, Problem: "is not a valid time"}
	}
	return t.AsTime(), nil
}

// fromDuration is 0 for an unset duration.
func fromDuration(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	// AsDuration saturates: such a value is out of every bound.
	if err := d.CheckValid(); err != nil {
		return 0, &redis.ArgumentError{Field: field, Problem: "is not a valid duration"}
	}
	return d.AsDuration(), nil
}

// fromTTL is fromDuration for a time to live, where 0 makes no sense.
func fromTTL(field string, d *durationpb.Duration) (time.Duration, error) {
	ttl, err := fromDuration(field, d)
	if err == nil && d != nil && ttl <= 0 {
		err = &redis.ArgumentError{Field: field, Problem: fmt.Sprintf("is %s, want more than 0; leave it unset for the default", ttl)}
	}
	return ttl, err
}

// valid is text as a message can carry it.
func valid(text string) string { return strings.ToValidUTF8(text, "\ufffd") }

func missing(field string) error {
	return &redis.ArgumentError{Field: field, Problem: "must be set"}
}
