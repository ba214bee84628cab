package server

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// The server's own reasons for which a call fails; package guard has others.
var (
	errShuttingDown = errors.New("the server is shutting down")
	errTooManyJobs  = errors.New("the stream watches too many jobs")
	errPanic        = errors.New("a handler panicked")
)

// failure is the status of one kind of error. The message is all that a client reads of it.
type failure struct {
	err     error
	code    codes.Code
	reason  argusv1.ErrorReason
	message string
	retry   bool // the same call may succeed later
}

// failures are matched in this order.
var failures = []failure{
	{job.ErrLeaseToken, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID,
		"lease_token: not a lease token of this service, tenant and job; send the token of a delivery unchanged", false},
	{job.ErrLeaseLost, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST,
		"the lease is lost: the task was settled or went to another worker; stop working on it", false},
	{job.ErrJobNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND,
		"the job has no state: it was never created, or it has expired", false},
	{job.ErrFieldNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_FIELD_NOT_FOUND,
		"the job's state has no such field", false},
	{job.ErrJobExists, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS,
		"the job already has a state; nothing was written", false},
	{job.ErrQueueNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_QUEUE_NOT_FOUND,
		"the queue does not exist: nothing was published to it or read from it", false},
	{job.ErrGroupNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND,
		"the queue has no such consumer group; check its name, or create it with `argus group create` (Admin.CreateGroup) or in the server's setting groups", false},
	{job.ErrGroupInUse, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_GROUP_IN_USE,
		"workers hold tasks of the consumer group; let them finish, or delete it with force, which ends their leases", false},
	{job.ErrTooManyGroups, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_GROUPS,
		"the queue has the maximum of 16 consumer groups; delete an unused one with `argus group rm` (Admin.DeleteGroup)", false},
	{job.ErrTooManyQueues, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_QUEUES,
		"the limit on queues is reached (the server's setting max_queues); nothing was written: use fewer names, or raise the limit; a queue that stays empty for an hour is removed", false},
	{job.ErrJobActive, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ACTIVE,
		"the job has an unfinished task in this queue, which allows one task of a job at a time; nothing was written", false},
	{job.ErrQueueFull, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_QUEUE_FULL,
		"the queue is full; nothing was written", true},
	{job.ErrRequestIDConflict, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_REQUEST_ID_CONFLICT,
		"the request_id was used with another request; use a new one for a new request", false},
	{job.ErrKeyType, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT,
		"a key of this queue or job holds another type of value; find out what wrote it, and delete or rename it", false},
	{job.ErrOutOfMemory, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_REDIS_OUT_OF_MEMORY,
		"the store is out of memory; nothing was written", true},
	{job.ErrNotPermitted, codes.Internal, argusv1.ErrorReason_ERROR_REASON_REDIS_PERMISSION_MISSING,
		"the store denies the service a permission: the call failed, perhaps after a part of its work; the server's operator must complete the permissions of its Redis user", false},
	{job.ErrUnavailable, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE,
		"the store is unavailable; retry the same call", true},
	{job.ErrOutcomeUnknown, codes.Unknown, argusv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
		"the connection to the store broke: the write may or may not have happened; with a request_id it can be retried safely", false},
	{job.ErrTooManyEvents, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_EVENTS,
		"the job has the maximum of events that are not terminal, in number (1000) or in bytes (the server's setting event_bytes); only its terminal event can follow", false},
	{errTooManyJobs, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_JOBS,
		"the stream watches more than 500000 jobs; open another one", false},
	{guard.ErrBusy, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY,
		"a limit of the server is reached: its connections, those from this address, its calls, its watched jobs, or the memory of its requests; nothing was done; retry later or on another server", true},
	{guard.ErrSlowReader, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SLOW_READER,
		"the client did not read its stream or its responses in time; resume from the last cursor", true},
	{errShuttingDown, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN,
		"the server is shutting down; reconnect and resume from the last cursor", true},
	{guard.ErrResponseTooLarge, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_RESPONSE_TOO_LARGE,
		"the response exceeds the maximum message size of 4 MiB; ask for less, such as some fields only", false},
	{context.Canceled, codes.Canceled, argusv1.ErrorReason_ERROR_REASON_CALLER_GONE,
		"the client cancelled the call", false},
	{context.DeadlineExceeded, codes.DeadlineExceeded, argusv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED,
		"the call's deadline passed; it is unknown whether a write happened", false},
}

// internalFailure is that of every other error.
var internalFailure = failure{nil, codes.Internal, argusv1.ErrorReason_ERROR_REASON_INTERNAL,
	"internal error; the server's log has the details", false}

// failureOf returns the failure of an error.
func failureOf(err error) failure {
	if errors.Is(err, job.ErrStateTooLarge) { // the store did not even read the state
		err = guard.ErrResponseTooLarge
	}
	for _, f := range failures {
		if errors.Is(err, f.err) {
			return f
		}
	}
	return internalFailure
}
