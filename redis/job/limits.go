package job

import "time"

// Limits of a single call.
const (
	// MaxFields is the maximum number of fields of a task or of one write of state.
	MaxFields = 256
	// MaxValueBytes is the maximum length of one field's value.
	MaxValueBytes = 1 << 20
	// MaxTaskBytes is the maximum size of a task, names and values together. It also bounds a batch of
	// deliveries, so that one fits gRPC's default message size of 4 MiB.
	MaxTaskBytes = 3 << 20
	// MaxBatch is the maximum number of tasks or lease tokens.
	MaxBatch = 1000
	// MaxReasonBytes is the maximum length of the reason of a Nack.
	MaxReasonBytes = 4 << 10
	// MaxDelay is how far ahead a task can be scheduled, and how long a state can be kept.
	MaxDelay = 365 * 24 * time.Hour
)

// CheckSize checks the length of a field's value.
func CheckSize(field string, bytes int) error {
	if bytes > MaxValueBytes {
		return Invalid(field, "has %d bytes, at most %d are allowed", bytes, MaxValueBytes)
	}
	return nil
}

// CheckDelay checks how far ahead something is scheduled.
func CheckDelay(field string, d time.Duration) error {
	if d < 0 || d > MaxDelay {
		return Invalid(field, "is %s, want 0 to %s", d, MaxDelay)
	}
	return nil
}

// CheckTTL checks how long something is kept; 0 means the default.
func CheckTTL(field string, d time.Duration) error {
	if d != 0 && (d < time.Millisecond || d > MaxDelay) {
		return Invalid(field, "is %s, want 1ms to %s", d, MaxDelay)
	}
	return nil
}
