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
	created, err := fromTimestamp(".created_at", t.GetCreatedAt())
	if err != nil {
		return redis.Task{}, inList(field, err)
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

// toDeliveries makes the messages of deliveries, in memory of one piece.
func toDeliveries(all []redis.Delivery) []*argusv1.Delivery {
	type memory struct {
		delivery           argusv1.Delivery
		task               argusv1.Task
		published, created timestamppb.Timestamp
		expires            timestamppb.Timestamp
	}
	pieces, deliveries := make([]memory, len(all)), make([]*argusv1.Delivery, len(all))
	for i := range all {
		d, m := &all[i], &pieces[i]
		m.delivery.LeaseToken = d.Lease.Token()
		m.delivery.MessageId = d.Lease.EntryID
		m.delivery.DeliveryAttempt = int32(d.Attempt)
		m.delivery.LeaseExpireTime = setTime(&m.expires, d.ExpiresAt)
		m.delivery.PublishTime = setTime(&m.published, d.PublishedAt)
		m.delivery.Failures = int32(d.Failures)
		m.delivery.Task = &m.task
		toTask(&d.Task, &m.task)
		if !d.Task.CreatedAt.IsZero() {
			m.task.CreatedAt = setTime(&m.created, d.Task.CreatedAt)
		}
		deliveries[i] = &m.delivery
	}
	return deliveries
}

func setTime(message *timestamppb.Timestamp, t time.Time) *timestamppb.Timestamp {
	message.Seconds, message.Nanos = t.Unix(), int32(t.Nanosecond())
	return message
}

// toTask fills in a message, but for the time of its creation.
func toTask(t *redis.Task, message *argusv1.Task) {
	message.JobId = t.JobID
	message.ReportId = t.ReportID
	message.OrganizationId = t.OrganizationID
	message.GcsUri = t.GCSURI
	message.Scanners = t.Scanners
	message.TimeoutSeconds = t.TimeoutSeconds
	message.Part = t.Part
	message.Attributes = t.Attributes
	message.BinaryAttributes = t.BinaryAttributes
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
		event.Fields = map[string]string{redis.TruncatedField: fmt.Sprintf("the event's %d bytes are more than a message can hold", size)}
		event.BinaryFields = nil
		if len(event.StatusText) > redis.MaxNameBytes {
			event.StatusText = strings.ToValidUTF8(event.StatusText[:redis.MaxNameBytes], "")
		}
	}
	return event
}

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
	return statuses[s]
}

// statuses are the words of the enum's values.
var statuses = func() map[argusv1.JobStatus]redis.Status {
	words := make(map[argusv1.JobStatus]redis.Status)
	for value, name := range argusv1.JobStatus_name {
		if s := argusv1.JobStatus(value); s != argusv1.JobStatus_JOB_STATUS_UNSPECIFIED {
			words[s] = redis.Status(strings.ToLower(strings.TrimPrefix(name, statusPrefix)))
		}
	}
	return words
}()

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
