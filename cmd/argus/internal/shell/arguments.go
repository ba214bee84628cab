package shell

import (
	"fmt"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
)

// NoArgs refuses arguments.
func NoArgs(command *cobra.Command, args []string) error { return NoArgsBut("")(command, args) }

// NoArgsBut refuses arguments. instead is the command line that the user may have meant, with %s
// for the argument.
func NoArgsBut(instead string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if instead != "" {
			hint = "; write " + fmt.Sprintf(instead, Word(args[0]))
		}
		return Usagef("it takes no arguments, got %q%s", args[0], hint)
	}
}

// AtLeast demands n arguments or more; what describes them.
func AtLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return Usagef("want %s", what)
		}
		return nil
	}
}

// Exactly demands n arguments; what describes them.
func Exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return Usagef("want %s, got %d arguments", what, len(args))
		}
		return nil
	}
}

// Group is a command that only holds others: alone it prints its help.
func Group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	group := &cobra.Command{Use: use, Short: short, Example: example, RunE: needsCommand}
	group.AddCommand(commands...)
	return group
}

func needsCommand(command *cobra.Command, args []string) error {
	if len(args) > 0 {
		return Usagef("unknown command %q", args[0])
	}
	return command.Help()
}

// Word quotes a value for a command line, if it needs quotes.
func Word(value string) string {
	isPlain := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-_./:@%+,", r)
	}
	if value != "" && strings.IndexFunc(value, func(r rune) bool { return !isPlain(r) }) < 0 {
		return value
	}
	return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
}
