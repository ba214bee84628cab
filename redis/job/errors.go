package job

import (
	"errors"
	"fmt"
)

// The sentinels of the engine; test with errors.Is.
var (
	// ErrUnavailable means that Redis is unreachable, loading, read-only or failing over. The command did
	// not run, or running it again does no harm.
	ErrUnavailable = errors.New("redis is unavailable")
	// ErrOutcomeUnknown means that the connection broke during a write, which may or may not have run.
	ErrOutcomeUnknown = errors.New("the outcome of the write is unknown")
	// ErrOutOfMemory means that Redis rejects writes because its memory is full.
	ErrOutOfMemory = errors.New("redis is out of memory")
	// ErrNotPermitted means that the ACL of Redis denies the client's user a command, a key or a channel.
	// A script may have run in part.
	ErrNotPermitted = errors.New("the ACL of redis denies the client's user a permission")
	// ErrKeyType means that a key holds another type of value than this module keeps there.
	ErrKeyType = errors.New("the key holds another type of value")
	// ErrLeaseLost means that the task is settled or leased to another worker.
	ErrLeaseLost = errors.New("the lease is lost")
	// ErrLeaseToken means that a token is not a lease token of this service, tenant or job.
	ErrLeaseToken = errors.New("not a valid lease token")
	// ErrJobNotFound means that the job has no state.
	ErrJobNotFound = errors.New("the job has no state")
	// ErrStateTooLarge means that a raw peer wrote a state that exceeds the limit for reading.
	ErrStateTooLarge = errors.New("the job's state is too large to be read")
	// ErrFieldNotFound means that the job's state lacks the field.
	ErrFieldNotFound = errors.New("the job's state has no such field")
	// ErrJobExists means that the job already has a state.
	ErrJobExists = errors.New("the job already has a state")
	// ErrRequestIDConflict means that the request id was used with another request.
	ErrRequestIDConflict = errors.New("the request id was used with another request")
	// ErrJobActive means that the queue allows one task of a job at a time, and the job has one.
	ErrJobActive = errors.New("the job already has an unfinished task")
	// ErrQueueFull means that the queue holds its maximum number of tasks.
	ErrQueueFull = errors.New("the queue is full")
	// ErrQueueNotFound means that the queue does not exist.
	ErrQueueNotFound = errors.New("no such queue")
	// ErrGroupNotFound means that the queue lacks the consumer group. errors.As to *GroupError names both.
	ErrGroupNotFound = errors.New("no such consumer group")
	// ErrGroupInUse means that workers hold tasks of the consumer group.
	ErrGroupInUse = errors.New("workers hold tasks of the consumer group")
	// ErrTooManyGroups means that the queue has its maximum number of consumer groups.
	ErrTooManyGroups = errors.New("the queue has too many consumer groups")
	// ErrTooManyQueues means that the tenant has its maximum number of queues.
	ErrTooManyQueues = errors.New("there are too many queues")
	// ErrInvalid means a bad argument. errors.As to *ArgumentError names it.
	ErrInvalid = errors.New("invalid argument")
	// ErrTooManyEvents means that the job has its maximum number, or bytes, of events before the terminal one.
	ErrTooManyEvents = errors.New("the job has too many events")
)

// ArgumentError describes a bad argument. It is an ErrInvalid.
type ArgumentError struct {
	// Field is the name of the argument in the contract, such as "job_id".
	Field string
	// Problem says what is wrong and what is accepted.
	Problem string
}

// Error returns the field and the problem.
func (e *ArgumentError) Error() string { return e.Field + ": " + e.Problem }

// Unwrap returns ErrInvalid.
func (e *ArgumentError) Unwrap() error { return ErrInvalid }

// Invalid returns an *ArgumentError with a formatted problem.
func Invalid(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// PrefixField puts a prefix before the field of an *ArgumentError, in place, and returns err. A check that
// passes does not pay for composing the name of its field.
func PrefixField(err error, prefix string) error {
	if e, ok := err.(*ArgumentError); ok {
		e.Field = prefix + e.Field
	}
	return err
}

// GroupError is an error about a consumer group.
type GroupError struct {
	Queue, Group string
	Err          error
}

// Error returns the error with the names of the group and its queue.
func (e *GroupError) Error() string {
	return fmt.Sprintf("%s: group %q of queue %q", e.Err, e.Group, e.Queue)
}

// Unwrap returns what is wrong with the group.
func (e *GroupError) Unwrap() error { return e.Err }

// JobError is an error about one of the jobs of a call.
type JobError struct {
	JobID string
	Err   error
}

// Error returns the error with the id of the job.
func (e *JobError) Error() string { return e.Err.Error() + ": " + e.JobID }

// Unwrap returns what is wrong with the job.
func (e *JobError) Unwrap() error { return e.Err }

// CursorExpiredError says that Redis no longer has the events after a cursor.
type CursorExpiredError struct {
	// Earliest is the oldest cursor that a watch can start after.
	Earliest string
}

// Error names the earliest cursor.
func (e *CursorExpiredError) Error() string {
	return "events after the cursor have expired; the earliest cursor is " + e.Earliest
}

// NewLeaseError returns the error for the code with which a script reports that it did not act under a lease:
// ErrLeaseToken, an *ArgumentError, or ErrLeaseLost for any other code.
func NewLeaseError(code string) error {
	switch code {
	case "OTHER_JOB":
		return fmt.Errorf("%w: it is for another job", ErrLeaseToken)
	case "OTHER_PART":
		return Invalid("part", "is not the part of its job that the task is")
	}
	return ErrLeaseLost
}
