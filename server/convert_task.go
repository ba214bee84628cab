package server

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// fromTask converts a task of a request. Errors name its fields below field.
func fromTask(field string, t *argusv1.Task) (job.Task, error) {
	if t == nil {
		return job.Task{}, missing(field)
	}
	created, err := fromTimestamp(".created_at", t.GetCreatedAt())
	if err != nil {
		return job.Task{}, prefixFields(field, err)
	}
	return job.Task{
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

// fromInitialState converts the state that a publish creates. nil means none.
func fromInitialState(s *argusv1.InitialState) (*job.InitialState, error) {
	if s == nil {
		return nil, nil
	}
	ttl, err := fromTTL("initial_state.ttl", s.GetTtl())
	return &job.InitialState{Fields: s.GetFields(), TTL: ttl, Parts: s.GetParts()}, err
}

// toDeliveries converts deliveries. Their messages share one allocation.
func toDeliveries(all []queue.Delivery) []*argusv1.Delivery {
	type messages struct {
		delivery           argusv1.Delivery
		task               argusv1.Task
		published, created timestamppb.Timestamp
		expires            timestamppb.Timestamp
	}
	memory, deliveries := make([]messages, len(all)), make([]*argusv1.Delivery, len(all))
	for i := range all {
		d, m := &all[i], &memory[i]
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

// toTask fills in a message, except for created_at.
func toTask(t *job.Task, message *argusv1.Task) {
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
