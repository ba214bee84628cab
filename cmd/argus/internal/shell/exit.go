package shell

import (
	"errors"
	"fmt"
)

// Exit codes.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitDenied      = 4
	ExitUnavailable = 5
	// The result of a watched job, unless it completed.
	ExitJobFailed    = 10
	ExitJobCancelled = 11
	ExitJobPartial   = 12
	ExitTimedOut     = 124 // as of timeout(1)
	ExitInterrupted  = 130 // as a shell reports SIGINT
)

// ExitError is an error and the exit code that it ends the process with.
type ExitError struct {
	Code int
	Err  error
	// HintHelp adds a hint at the command's help to the message.
	HintHelp bool
}

func (e ExitError) Error() string { return e.Err.Error() }
func (e ExitError) Unwrap() error { return e.Err }

// Exitf formats an error with an exit code, as fmt.Errorf does.
func Exitf(code int, format string, args ...any) error {
	return ExitError{Code: code, Err: fmt.Errorf(format, args...)}
}

// UsageError is the error of a command line or a setting that is wrong.
func UsageError(err error) error { return ExitError{Code: ExitUsage, Err: err, HintHelp: true} }

// Usagef formats a UsageError, as fmt.Errorf does.
func Usagef(format string, args ...any) error { return UsageError(fmt.Errorf(format, args...)) }

// HasExitCode reports whether an error names its exit code.
func HasExitCode(err error) bool {
	var exit ExitError
	return errors.As(err, &exit)
}
