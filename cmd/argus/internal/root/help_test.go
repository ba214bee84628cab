package root

import (
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

func noEnv(string) (string, bool) { return "", false }

// discarded is the command argus, whose output is discarded.
func discarded() *cobra.Command {
	return Command(&shell.Process{Env: noEnv, Stdout: io.Discard, Stderr: io.Discard})
}

// The examples of the help are valid: their commands, flags and arguments exist.
func TestExamplesAreValid(t *testing.T) {
	t.Parallel()
	var check func(*cobra.Command)
	check = func(command *cobra.Command) {
		for line := range strings.Lines(command.Example) {
			_, args, ok := strings.Cut(line, "argus ")
			if !ok {
				continue
			}
			args = regexp.MustCompile(`   .*| && .*`).ReplaceAllString(strings.TrimSpace(args), "")
			root := discarded()
			found, rest, err := root.Find(words(args))
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil || found == root {
				t.Errorf("%s: argus %s: %v", command.CommandPath(), args, err)
			}
		}
		for _, sub := range command.Commands() {
			if sub.Name() != "completion" && sub.Name() != "help" {
				check(sub)
			}
		}
	}
	check(discarded())
}

// words splits a line as a shell does, as far as the examples need it.
func words(line string) []string {
	var list []string
	for _, word := range regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`).FindAllString(line, -1) {
		list = append(list, strings.Trim(word, `'"`))
	}
	return list
}

// Every command has a description and an example, and every flag a description.
func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	var check func(*cobra.Command)
	check = func(command *cobra.Command) {
		if command.Short == "" || !command.HasExample() {
			t.Errorf("%s lacks a description or an example", command.CommandPath())
		}
		command.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s lacks a description", command.CommandPath(), f.Name)
			}
		})
		for _, sub := range command.Commands() {
			check(sub)
		}
	}
	check(discarded())
}
