package server

import (
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
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// This file is the only place where an error becomes a gRPC status. Clients read only messages
// that are written here and in failures.go: no text, key or address of Redis reaches them.

// domain is that of the ErrorInfo details.
const domain = "argus.v1"

// retryAfter is the delay that RetryInfo asks for.
const retryAfter = time.Second

const reasonPrefix = "ERROR_REASON_"

// toStatus converts an error to a status. about is what is known of the call.
func toStatus(err error, about subject) error {
	if err == nil {
		return nil
	}
	if _, ok := status.FromError(err); ok {
		return err // from gRPC's stream
	}
	var id *job.JobError
	if errors.As(err, &id) {
		about.jobID = id.JobID
	}
	metadata := about.metadata()
	var group *job.GroupError
	if errors.As(err, &group) {
		metadata["queue"], metadata["group"] = group.Queue, group.Group
	}
	if arguments := argumentErrors(err); len(arguments) > 0 {
		return invalidArgument(arguments, metadata)
	}
	var expired *job.CursorExpiredError
	if errors.As(err, &expired) {
		return cursorExpired(expired, metadata)
	}
	f := failureOf(err)
	if f.err == job.ErrLeaseToken {
		metadata["field"] = "lease_token"
		return newStatus(f, metadata, violations(&job.ArgumentError{Field: "lease_token", Problem: "is not a valid lease token"}))
	}
	if group != nil {
		f.message = fmt.Sprintf("group %q of queue %q: %s", group.Group, group.Queue, f.message)
	}
	return newStatus(f, metadata)
}

func cursorExpired(err *job.CursorExpiredError, metadata map[string]string) error {
	metadata["earliest_cursor"] = err.Earliest
	return newStatus(failure{code: codes.OutOfRange, reason: argusv1.ErrorReason_ERROR_REASON_CURSOR_EXPIRED,
		message: "events after the cursor have expired; the earliest cursor to resume from is " + err.Earliest}, metadata)
}

func invalidArgument(arguments []*job.ArgumentError, metadata map[string]string) error {
	messages := make([]string, len(arguments))
	for i, a := range arguments {
		messages[i] = a.Error()
	}
	metadata["field"] = arguments[0].Field
	return newStatus(failure{code: codes.InvalidArgument, reason: argusv1.ErrorReason_ERROR_REASON_INVALID_ARGUMENT,
		message: strings.Join(messages, "; ")}, metadata, violations(arguments...))
}

func violations(arguments ...*job.ArgumentError) *errdetails.BadRequest {
	bad := &errdetails.BadRequest{}
	for _, a := range arguments {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: a.Field, Description: a.Problem})
	}
	return bad
}

func newStatus(f failure, metadata map[string]string, details ...protoadapt.MessageV1) error {
	reason := strings.TrimPrefix(f.reason.String(), reasonPrefix)
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

// toFailure converts the error of one of several requests that share a stream or a batch.
func toFailure(err error) *argusv1.RequestFailure {
	s := toStatus(err, subject{})
	return &argusv1.RequestFailure{Reason: reasonEnum(s), Message: status.Convert(s).Message(), Retryable: isRetryable(s)}
}

// isRetryable is true of a status with RetryInfo.
func isRetryable(err error) bool {
	for _, detail := range status.Convert(err).Details() {
		if _, ok := detail.(*errdetails.RetryInfo); ok {
			return true
		}
	}
	return false
}

// reasonOf returns the reason of a status, "" if it has none.
func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// reasonEnum returns the reason of a status as the enum.
func reasonEnum(err error) argusv1.ErrorReason {
	return argusv1.ErrorReason(argusv1.ErrorReason_value[reasonPrefix+reasonOf(err)])
}
