package server_test

import (
	"strings"
	"testing"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// errorDetails are what a client reads of an error.
type errorDetails struct {
	code      codes.Code
	reason    string
	metadata  map[string]string
	fields    []string
	retryable bool
}

func detailsOf(err error) errorDetails {
	s := status.Convert(err)
	w := errorDetails{code: s.Code()}
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == "argus.v1" {
				w.reason, w.metadata = d.GetReason(), d.GetMetadata()
			}
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				w.fields = append(w.fields, v.GetField())
			}
		case *errdetails.RetryInfo:
			w.retryable = d.GetRetryDelay().AsDuration() > 0
		}
	}
	return w
}

// wantError checks an error's code and reason.
func wantError(t *testing.T, err error, code codes.Code, reason argusv1.ErrorReason) errorDetails {
	t.Helper()
	w := detailsOf(err)
	if want := strings.TrimPrefix(reason.String(), "ERROR_REASON_"); w.code != code || w.reason != want {
		t.Errorf("error %v / %q (%v), want %v / %q", w.code, w.reason, err, code, want)
	}
	return w
}
