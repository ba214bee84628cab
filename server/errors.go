package server

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// This is the one place where a failure becomes a gRPC status. What a caller reads is
// written here: no text, key or address of Redis reaches him.

var (
	errShuttingDown     = errors.New("the server is shutting down")
	errResponseTooLarge = errors.New("the response is too large")
	errSlowReader       = errors.New("the caller does not read its stream")
	errTooManyJobs      = errors.New("the stream watches too many jobs")
	errBusy             = errors.New("the server has as much to do as it may")
	errPanic            = errors.New("a handler panicked")
)

// domain is the ErrorInfo's domain.
const domain = "argus.v1"

// retryAfter is what a caller is told to wait before he tries again.
const retryAfter = time.Second

// failure is how one kind of error is told.
type failure struct {
	is      error
	code    codes.Code
	reason  argusv1.ErrorReason
	message string
	retry   bool
}

// failures are tried in this order.
var failures = []failure{
	{redis.ErrLeaseToken, codes.InvalidArgument, argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID,
		"lease_token: not a lease token of this service, tenant and job; send the token of a delivery unchanged", false},
	{redis.ErrLeaseLost, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST,
		"the lease is lost: the task was settled or went to another worker; stop working on it", false},
	{redis.ErrJobNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_JOB_NOT_FOUND,
		"no state is known of the job: it was never created, or it has expired", false},
	{redis.ErrFieldNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_FIELD_NOT_FOUND,
		"the job's state has no such field", false},
	{redis.ErrJobExists, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ALREADY_EXISTS,
		"the job has a state already; nothing was written", false},
	{redis.ErrQueueNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_QUEUE_NOT_FOUND,
		"there is no such queue: nothing was published to it or read from it", false},
	{redis.ErrGroupNotFound, codes.NotFound, argusv1.ErrorReason_ERROR_REASON_GROUP_NOT_FOUND,
		"the queue has no such consumer group; check its name, or create it with `argus group create` (Admin.CreateGroup) or in the server's setting groups", false},
	{redis.ErrGroupInUse, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_GROUP_IN_USE,
		"workers hold tasks of the consumer group; let them finish, or delete it with force, by which they lose their leases", false},
	{redis.ErrTooManyGroups, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_GROUPS,
		"the queue has as many consumer groups as it may (16); delete one that is not needed with `argus group rm` (Admin.DeleteGroup)", false},
	{redis.ErrTooManyQueues, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_QUEUES,
		"there are as many queues as there may be (the server's setting max_queues); nothing was written: use fewer names, or raise it; a queue that stays empty for an hour is forgotten", false},
	{redis.ErrJobActive, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_JOB_ACTIVE,
		"the job has an unfinished task in this queue, which wants one task of a job at a time; nothing was written", false},
	{redis.ErrQueueFull, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_QUEUE_FULL,
		"the queue holds as many tasks as it may; nothing was written", true},
	{redis.ErrRequestIDConflict, codes.AlreadyExists, argusv1.ErrorReason_ERROR_REASON_REQUEST_ID_CONFLICT,
		"the request_id was used with another request; use a new one for a new request", false},
	{redis.ErrKeyType, codes.FailedPrecondition, argusv1.ErrorReason_ERROR_REASON_KEY_TYPE_CONFLICT,
		"a key of this queue or job holds another type of value; find out who wrote it, and delete or rename it", false},
	{redis.ErrOutOfMemory, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_REDIS_OUT_OF_MEMORY,
		"the store is out of memory; nothing was written", true},
	{redis.ErrNotPermitted, codes.Internal, argusv1.ErrorReason_ERROR_REASON_REDIS_PERMISSION_MISSING,
		"the store denies the service a permission: the call failed, perhaps after a part of its work; the server's operator must complete the permissions of its Redis user", false},
	{redis.ErrUnavailable, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_REDIS_UNAVAILABLE,
		"the store is unavailable; the call may be repeated as it is", true},
	{redis.ErrOutcomeUnknown, codes.Unknown, argusv1.ErrorReason_ERROR_REASON_OUTCOME_UNKNOWN,
		"the connection to the store broke: the write may or may not have happened; with a request_id it can be repeated safely", false},
	{redis.ErrTooManyEvents, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_EVENTS,
		"the job has as many events that are not terminal as it may, in number (1000) or in bytes (the server's setting event_bytes); only its terminal event can follow", false},
	{errTooManyJobs, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_TOO_MANY_JOBS,
		"the stream watches more than 500000 jobs; use another one", false},
	{errBusy, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SERVER_BUSY,
		"the server has as many connections, calls or watched jobs as it may have, or as many connections from this address; nothing was done; try again later or elsewhere", true},
	{errSlowReader, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_SLOW_READER,
		"the caller did not read its stream for too long and was cut off; go on from the last cursor", true},
	{errShuttingDown, codes.Unavailable, argusv1.ErrorReason_ERROR_REASON_SERVER_SHUTTING_DOWN,
		"the server is shutting down; connect again and go on from the last cursor", true},
	{errResponseTooLarge, codes.ResourceExhausted, argusv1.ErrorReason_ERROR_REASON_RESPONSE_TOO_LARGE,
		"the answer is larger than a message may be (4 MiB); ask for less, such as some fields only", false},
	{context.Canceled, codes.Canceled, argusv1.ErrorReason_ERROR_REASON_CALLER_GONE,
		"the caller cancelled the call", false},
	{context.DeadlineExceeded, codes.DeadlineExceeded, argusv1.ErrorReason_ERROR_REASON_DEADLINE_EXCEEDED,
		"the caller's deadline passed; whether a write happened is unknown", false},
}

// internal is everything else.
var internal = failure{nil, codes.Internal, argusv1.ErrorReason_ERROR_REASON_INTERNAL,
	"internal error; the server's log has the details", false}

// toStatus makes the status of an error. about is what is known of the call.
func toStatus(err error, about subject) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err // gRPC's own, from its stream
	}
	var arguments []*redis.ArgumentError
	collect(err, &arguments)
	var expired *redis.CursorExpiredError
	var job *redis.JobError
	if errors.As(err, &job) {
		about.jobID = job.JobID
	}
	metadata := about.metadata()
	var group *redis.GroupError
	if errors.As(err, &group) {
		metadata["queue"], metadata["group"] = group.Queue, group.Group
	}
	switch {
	case len(arguments) > 0:
		return invalidArgument(arguments, metadata)
	case errors.As(err, &expired):
		metadata["earliest_cursor"] = expired.Earliest
		return build(failure{code: codes.OutOfRange, reason: argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED,
			message: "events after the cursor are gone; the earliest cursor that can be resumed from is " + expired.Earliest}, metadata)
	}
	if errors.Is(err, redis.ErrStateTooLarge) { // it was not even read
		err = errResponseTooLarge
	}
	f := internal
	for _, candidate := range failures {
		if errors.Is(err, candidate.is) {
			f = candidate
			break
		}
	}
	if f.is == redis.ErrLeaseToken {
		metadata["field"] = "lease_token"
		return build(f, metadata, violations(&redis.ArgumentError{Field: "lease_token", Problem: "is not a valid lease token"}))
	}
	if group != nil {
		f.message = fmt.Sprintf("group %q of queue %q: %s", group.Group, group.Queue, f.message)
	}
	return build(f, metadata)
}

func invalidArgument(arguments []*redis.ArgumentError, metadata map[string]string) error {
	messages := make([]string, len(arguments))
	for i, a := range arguments {
		messages[i] = a.Error()
	}
	metadata["field"] = arguments[0].Field
	return build(failure{code: codes.InvalidArgument, reason: argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
		message: strings.Join(messages, "; ")}, metadata, violations(arguments...))
}

func violations(arguments ...*redis.ArgumentError) *errdetails.BadRequest {
	bad := &errdetails.BadRequest{}
	for _, a := range arguments {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: a.Field, Description: a.Problem})
	}
	return bad
}

func build(f failure, metadata map[string]string, details ...protoadapt.MessageV1) error {
	reason := strings.TrimPrefix(f.reason.String(), "ERROR_REASON_")
	details = append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: metadata}}, details...)
	if f.retry {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	s := status.New(f.code, f.message)
	if detailed, err := s.WithDetails(details...); err == nil {
		s = detailed
	}
	return s.Err()
}

// collect finds all bad arguments in a tree of joined errors.
func collect(err error, into *[]*redis.ArgumentError) {
	switch e := err.(type) {
	case *redis.ArgumentError:
		*into = append(*into, e)
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			collect(inner, into)
		}
	case interface{ Unwrap() error }:
		collect(e.Unwrap(), into)
	}
}

// retryable is whether a status says that the call may be repeated.
func retryable(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if _, ok := detail.(*errdetails.RetryInfo); ok {
			return true
		}
	}
	return false
}

// reasonOf is the reason that a status carries, for the log.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}
