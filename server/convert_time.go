package server

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

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
		return time.Time{}, &job.ArgumentError{Field: field, Problem: "is not a valid time"}
	}
	return t.AsTime(), nil
}

// fromDuration converts a duration. An unset one becomes 0.
func fromDuration(field string, d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return 0, nil
	}
	// AsDuration saturates: a value that overflows is outside every limit.
	if err := d.CheckValid(); err != nil {
		return 0, &job.ArgumentError{Field: field, Problem: "is not a valid duration"}
	}
	return d.AsDuration(), nil
}

// fromTTL converts a time to live, which must be positive if it is set.
func fromTTL(field string, d *durationpb.Duration) (time.Duration, error) {
	ttl, err := fromDuration(field, d)
	if err == nil && d != nil && ttl <= 0 {
		err = &job.ArgumentError{Field: field, Problem: fmt.Sprintf("is %s, want more than 0; leave it unset for the default", ttl)}
	}
	return ttl, err
}
