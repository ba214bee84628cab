package root

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// exitError gives an error its exit code.
func exitError(root, command *cobra.Command, err error) shell.ExitError {
	var exit shell.ExitError
	switch {
	case errors.As(err, &exit):
		exit.Err = err // with what wraps it
		return exit
	case isCobraUsage(root, command, err):
		return shell.ExitError{Code: shell.ExitUsage, Err: err, HintHelp: true}
	}
	return shell.ExitError{Code: shell.ExitFailure, Err: err}
}

// isCobraUsage reports whether an error is one of cobra's: an unknown command, or flags that exclude
// each other.
func isCobraUsage(root, command *cobra.Command, err error) bool {
	return command == root || strings.Contains(err.Error(), "none of the others can be")
}

// message is the text of an error, without characters that could control the terminal.
func message(command *cobra.Command, exit shell.ExitError) string {
	text := strings.TrimSpace(exit.Error())
	if exit.HintHelp && !strings.Contains(text, "\n") {
		text += fmt.Sprintf(" (see '%s --help')", command.CommandPath())
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = output.Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}
