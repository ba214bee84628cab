package root

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
)

// The page of commands is generated from their help. UPDATE=true writes it.
func TestReferenceOfCommands(t *testing.T) {
	t.Parallel()
	const path = "../../../../docs/cli.md"
	text := cliReference()
	old, err := os.ReadFile(path)
	switch {
	case string(old) == text:
	case os.Getenv("UPDATE") != "true":
		t.Errorf("%s is out of date (%v); run make generate", path, err)
	default:
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// consumer is the default name of a worker in this process, which differs from run to run.
var consumer = regexp.MustCompile(regexp.QuoteMeta(cli.DefaultConsumer()))

func cliReference() string {
	var b strings.Builder
	b.WriteString(`# Commands

For everyone who uses the command line: each command with its flags and examples. Generated from the
program's help by ` + "`make generate`" + `. The client commands use gRPC only.

A setting comes from its flag, then from its environment variable (in brackets), then from the
context file. Data goes to the standard output, everything else to the standard error.

| exit code | meaning |
|---|---|
| 0 | done; for watch, await and publish --wait: completed |
| 1 | failed |
| 2 | wrong usage, or the server refused an argument |
| 3 | not found |
| 4 | denied |
| 5 | the server, or its Redis, is unavailable |
| 10, 11, 12 | the job failed, was cancelled, is partial |
| 124 | timed out |
| 130 | interrupted |
`)
	root := discarded()
	root.InitDefaultHelpCmd()
	describe(&b, root)
	return consumer.ReplaceAllString(b.String(), "HOST-PID")
}

func describe(b *strings.Builder, command *cobra.Command) {
	if command.HasParent() && command.Name() != "help" {
		text := command.Long
		if text == "" {
			text = command.Short + "."
		}
		fmt.Fprintf(b, "\n## %s\n\n%s\n\n```\n%s\n```\n", command.CommandPath(), text, command.UseLine())
		if command.HasExample() {
			fmt.Fprintf(b, "\nExamples:\n\n```\n%s\n```\n", strings.TrimRight(command.Example, "\n"))
		}
		if command.HasAvailableLocalFlags() {
			fmt.Fprintf(b, "\nFlags:\n\n```\n%s```\n", command.LocalFlags().FlagUsages())
		}
	}
	for _, sub := range command.Commands() {
		describe(b, sub)
	}
}
