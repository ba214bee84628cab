package job

import (
	"errors"
	"fmt"
)

// What a call can fail with; test with errors.Is.
var (
	// ErrUnavailable: Redis is away, loading, read-only or failing over. The command
	// was not executed, or executing it twice does no harm.
	ErrUnavailable = errors.New("redis is unavailable")
	// ErrOutcomeUnknown: the connection broke while a write was on its way. It may
	// have been executed.
	ErrOutcomeUnknown = errors.New("the outcome of the write is unknown")
	// ErrOutOfMemory: Redis refuses writes because its memory is full.
	ErrOutOfMemory = errors.New("redis is out of memory")
	// ErrNotPermitted: the ACL of Redis denies the client's user a command, a key or a channel.
	// A script may have done a part of its work by then.
	ErrNotPermitted = errors.New("the ACL of redis denies the client's user a permission")
	// ErrKeyType: a key holds another type than this package keeps there.
	ErrKeyType = errors.New("the key holds another type")
	// ErrLeaseLost: the lease is someone else's by now, or the task is settled.
	ErrLeaseLost = errors.New("the lease is lost")
	// ErrLeaseToken: not a lease token of this service, tenant or job.
	ErrLeaseToken = errors.New("not a valid lease token")
	// ErrJobNotFound: the job has no state.
	ErrJobNotFound = errors.New("no state is known of the job")
	// ErrStateTooLarge: a raw peer wrote a state that is too large to be read.
	ErrStateTooLarge = errors.New("the job's state is too large to be read")
	// ErrFieldNotFound: the job's state lacks the field.
	ErrFieldNotFound = errors.New("the job's state has no such field")
	// ErrJobExists: the job has a state already.
	ErrJobExists = errors.New("the job has a state already")
	// ErrRequestIDConflict: the request id was used with another request.
	ErrRequestIDConflict = errors.New("the request id was used with another request")
	// ErrJobActive: the queue wants one task of a job, and there is one.
	ErrJobActive = errors.New("the job has an unfinished task already")
	// ErrQueueFull: the queue holds as many tasks as it may.
	ErrQueueFull = errors.New("the queue is full")
	// ErrQueueNotFound: there is no such queue.
	ErrQueueNotFound = errors.New("no such queue")
	// ErrGroupNotFound: the queue has no such consumer group; errors.As to *GroupError tells
	// which.
	ErrGroupNotFound = errors.New("no such consumer group")
	// ErrGroupInUse: workers hold tasks of the consumer group.
	ErrGroupInUse = errors.New("workers hold tasks of the consumer group")
	// ErrTooManyGroups: the queue has as many consumer groups as it may.
	ErrTooManyGroups = errors.New("the queue has too many consumer groups")
	// ErrTooManyQueues: there are as many queues as there may be.
	ErrTooManyQueues = errors.New("there are too many queues")
	// ErrInvalid: a bad argument; errors.As to *ArgumentError tells which.
	ErrInvalid = errors.New("invalid argument")
	// ErrTooManyEvents: the job has as many events as it may have before it completes, in
	// number or in bytes.
	ErrTooManyEvents = errors.New("the job has too many events")
)

// ArgumentError is a bad argument. It is an ErrInvalid.
type ArgumentError struct {
	// Field is the argument's name, as in the contract ("job_id").
	Field string
	// Problem says what is wrong and what would be right.
	Problem string
}

func (e *ArgumentError) Error() string { return e.Field + ": " + e.Problem }

// Unwrap makes errors.Is(err, ErrInvalid) true.
func (e *ArgumentError) Unwrap() error { return ErrInvalid }

// GroupError is an error about a consumer group.
type GroupError struct {
	Queue, Group string
	Err          error
}

func (e *GroupError) Error() string {
	return fmt.Sprintf("%s: group %q of queue %q", e.Err, e.Group, e.Queue)
}

// Unwrap is what is wrong with the group.
func (e *GroupError) Unwrap() error { return e.Err }

// JobError is an error about one of the jobs of a call.
type JobError struct {
	JobID string
	Err   error
}

func (e *JobError) Error() string { return e.Err.Error() + ": " + e.JobID }

// Unwrap is what is wrong with the job.
func (e *JobError) Unwrap() error { return e.Err }

func Invalid(field, format string, args ...any) error {
	return &ArgumentError{Field: field, Problem: fmt.Sprintf(format, args...)}
}

// CursorExpiredError says that events after a cursor are gone.
type CursorExpiredError struct {
	// Earliest is the oldest cursor that a watch can still start after.
	Earliest string
}

func (e *CursorExpiredError) Error() string {
	return "events after the cursor are gone; the earliest cursor is " + e.Earliest
}

// NewLeaseError is why a script did not act under a lease.
func NewLeaseError(word string) error {
	switch word {
	case "OTHER_JOB":
		return fmt.Errorf("%w: it is for another job", ErrLeaseToken)
	case "OTHER_PART":
		return Invalid("part", "is not the part of its job that the task is")
	}
	return ErrLeaseLost
}
