package cli

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func eventRow(e *argusv1.CompletionEvent) []string {
	return []string{output.ID(e.GetJobId()), output.StatusCell(e.GetStatus(), e.GetStatusText()), output.Clock(e.GetCompletedAt()), output.Fields(e.GetFields())}
}

// jobResult is a result other than completed, as an error.
type jobResult struct {
	exitCode int
	text     string
}

func (r jobResult) Error() string { return r.text }

// resultCodes has the exit codes of results.
var resultCodes = map[argusv1.JobStatus]int{
	argusv1.JobStatus_JOB_STATUS_COMPLETED: shell.ExitOK,
	argusv1.JobStatus_JOB_STATUS_FAILED:    shell.ExitJobFailed,
	argusv1.JobStatus_JOB_STATUS_CANCELLED: shell.ExitJobCancelled,
	argusv1.JobStatus_JOB_STATUS_PARTIAL:   shell.ExitJobPartial,
}

// resultError is the error of a job's result; nil if the job completed.
func resultError(e *argusv1.CompletionEvent) error {
	code, ok := resultCodes[e.GetStatus()]
	if !ok { // a status that this version does not know
		code = shell.ExitFailure
	}
	if code == shell.ExitOK {
		return nil
	}
	text := fmt.Sprintf("the job %s is %s", output.ID(e.GetJobId()), output.Status(e.GetStatus(), e.GetStatusText()))
	if message := e.GetFields()["error_message"]; message != "" {
		text += ": " + output.OneLine(message)
	}
	return shell.ExitError{Code: code, Err: jobResult{code, text}}
}

// worst returns the most important error: a failed watch before any result, then the result with
// the lowest exit code.
func worst(errs []error) error {
	var found error
	rank := func(err error) int {
		var result jobResult
		errors.As(err, &result)
		return result.exitCode
	}
	for _, err := range errs {
		if err != nil && (found == nil || rank(err) < rank(found)) {
			found = err
		}
	}
	return found
}

// hasEnded reports whether a wait is over because ctx has ended. The call may notice a deadline
// before ctx does.
func hasEnded(ctx context.Context, err error) bool {
	return ctx.Err() != nil || status.Code(err) == codes.DeadlineExceeded
}

// endError is the error of a wait that ended with ctx.
func endError(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.Canceled) {
		return client.Interrupted()
	}
	return shell.ExitError{Code: shell.ExitTimedOut, Err: errors.New("the call timed out: there is no result yet")}
}
