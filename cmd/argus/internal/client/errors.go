package client

import (
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// exitCodes has the exit codes of gRPC's codes; the others end with shell.ExitFailure.
var exitCodes = map[codes.Code]int{
	codes.NotFound:         shell.ExitNotFound,
	codes.Unauthenticated:  shell.ExitDenied,
	codes.PermissionDenied: shell.ExitDenied,
	codes.Unavailable:      shell.ExitUnavailable,
	codes.InvalidArgument:  shell.ExitUsage,
}

// ExitError turns the status of a call into a message of one line and an exit code. Other errors it
// returns as they are.
func (c *Client) ExitError(err error) error {
	if err == nil || shell.HasExitCode(err) {
		return err
	}
	s, ok := status.FromError(err)
	if !ok {
		return err
	}
	if isUnreachable(err) {
		return c.unreachable(s.Message())
	}
	code, ok := exitCodes[s.Code()]
	if !ok {
		code = shell.ExitFailure
	}
	return shell.Exitf(code, "%s (%s)", output.OneLine(s.Message()), reason(s))
}

// unreachable is the error of a server that does not answer; message is gRPC's chain of causes.
func (c *Client) unreachable(message string) error {
	cause := strings.TrimSuffix(message[strings.LastIndex(message, ": ")+1:], `"`)
	return shell.Exitf(shell.ExitUnavailable, "can't reach %s (%s). Is argus serve, or argus dev, running there? --addr names another server",
		c.Addr, strings.TrimSpace(cause))
}

// reason is an error's reason as the contract names it, or gRPC's code.
func reason(s *status.Status) string {
	if info := errorInfo(s); info != nil {
		return info.GetReason()
	}
	return strings.ToUpper(s.Code().String())
}

// Metadata returns the details of an error by name, such as "job_id".
func Metadata(err error) map[string]string { return errorInfo(status.Convert(err)).GetMetadata() }

func errorInfo(s *status.Status) *errdetails.ErrorInfo {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info
		}
	}
	return nil
}

// HasReason reports whether an error has a reason of the contract, such as "LEASE_LOST".
func HasReason(err error, name string) bool {
	s, ok := status.FromError(err)
	return ok && err != nil && reason(s) == name
}

// isUnreachable reports whether a call found no server: an Unavailable of a server has details.
func isUnreachable(err error) bool {
	s, ok := status.FromError(err)
	return ok && err != nil && s.Code() == codes.Unavailable && len(s.Details()) == 0
}

// Transient reports whether a call that failed may succeed a moment later. A server that has never
// answered does not count: its address is more likely wrong.
func (c *Client) Transient(err error) bool {
	if isUnreachable(err) {
		return c.reached.Load()
	}
	return status.Code(err) == codes.Unavailable || HasReason(err, "SLOW_READER") || HasReason(err, "QUEUE_FULL")
}

// MayHaveSucceeded reports whether the server may have carried out a call that failed.
func (c *Client) MayHaveSucceeded(err error) bool {
	if isUnreachable(err) && !c.reached.Load() {
		return false
	}
	switch status.Code(err) {
	case codes.InvalidArgument, codes.AlreadyExists, codes.ResourceExhausted, codes.PermissionDenied, codes.Unauthenticated, codes.Unimplemented:
		return false
	}
	return true
}
