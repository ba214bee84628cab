package server

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func TestPanicBecomesAStatusAndIsLogged(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	log := &callLog{logger: slog.New(slog.NewTextHandler(&text, nil))}
	c := log.newCall("/test", &argusv1.AwaitRequest{JobId: "job"})
	err := c.run(t.Context(), layers, func(context.Context) error { panic("secret of the handler") })
	if status.Code(err) != codes.Internal || reasonOf(err) != "INTERNAL" || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
	for _, want := range []string{"secret of the handler", "interceptors_test.go", "job_id=job", "code=Internal"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the log lacks %q:\n%s", want, &text)
		}
	}
}

// Every failure has a code, a message and a reason of its own.
func TestFailuresAreDistinct(t *testing.T) {
	t.Parallel()
	seen := make(map[argusv1.ErrorReason]bool)
	for _, f := range append(failures, internalFailure) {
		if seen[f.reason] || f.reason == 0 || f.code == codes.OK || f.message == "" {
			t.Errorf("failure %+v, want a code, a message and a unique reason", f)
		}
		seen[f.reason] = true
	}
	if err := toStatus(errors.New("dial tcp 10.0.0.1:6379"), subject{}); status.Code(err) != codes.Internal || strings.Contains(err.Error(), "10.0.0.1") {
		t.Errorf("an unknown error: %v, want INTERNAL without its text", err)
	}
}
