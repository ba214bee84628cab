// Package root assembles the commands of argus and runs a command line.
package root

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/load"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/serve"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// Main runs the command line of this process and returns its exit code. It hides the secrets in
// args, which are those of the process, and warns of environment variables that look like settings.
func Main(ctx context.Context, args []string, p *shell.Process) int {
	if len(args) == 0 || !isForShell(args[0]) {
		warnOfVariables(p.Stderr, os.Environ(), KnownVariables(Command(p)))
	}
	return Run(ctx, settings.HideSecrets(args), p)
}

// isForShell reports whether a shell reads the output of a command, not a person.
func isForShell(command string) bool {
	return strings.HasPrefix(command, "__complete") || command == "completion"
}

// Run runs a command line and returns its exit code. It ends when ctx does.
func Run(ctx context.Context, args []string, p *shell.Process) int {
	root := Command(p)
	root.SetArgs(args)
	root.InitDefaultCompletionCmd(args...)
	plainBooleans(root) // also those of the completion command
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return shell.ExitOK
	}
	exit := exitError(root, command, err)
	fmt.Fprintf(p.Stderr, "%s: %s\n", command.CommandPath(), message(command, exit))
	return exit.Code
}

// Command makes the command argus, with all others below it.
func Command(p *shell.Process) *cobra.Command {
	root := &cobra.Command{
		Use:     "argus",
		Version: version(),
		Short:   "A task queue, job state and completion events over Redis, by gRPC",
		Example: `  argus demo                              see it work, in one terminal
  argus dev                               try it: an in-memory store, nothing to set up
  argus serve --redis-addr redis:6379     run it on a Redis
  argus publish --scanner trivy --wait    publish a task and wait for its result
  argus worker -- ./scan.sh               run a command for each task`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetVersionTemplate("argus {{.Version}}\n")
	root.SetOut(p.Stdout)
	root.SetErr(p.Stderr)
	root.SetFlagErrorFunc(flagError)
	addGroup(root, "server", "Server:", cli.DemoCommand(p, serve.StartDemo), serve.DevCommand(p), serve.Command(p), serve.ConfigCommand(p))
	addGroup(root, "producer", "Publish and wait:", cli.ProducerCommands(p)...)
	addGroup(root, "worker", "Work:", cli.WorkerCommands(p)...)
	addGroup(root, "job", "Jobs and queues:", cli.AdminCommands(p)...)
	root.AddCommand(load.Command(p), versionCommand(p))
	root.Flags().Bool("version", false, "print the version")
	plainBooleans(root)
	completeWords(root)
	return root
}

func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, command := range commands {
		command.GroupID = id
	}
	root.AddCommand(commands...)
}

// flagError is the error of flags that can't be parsed.
func flagError(_ *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		err = settings.BadValue("--"+bad.GetFlag().Name, bad.GetValue(), bad.GetFlag())
	}
	return shell.UsageError(err)
}
