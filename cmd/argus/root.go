package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitDenied      = 4
	exitUnavailable = 5
	// How a watched job ended, if not completed.
	exitFailed    = 10
	exitCancelled = 11
	exitPartial   = 12
	exitTimedOut  = 124
	// As the shell says it of ^C.
	exitInterrupted = 130
)

// codedError says which code a failure ends the program with.
type codedError struct {
	code int
	err  error
	// help: the command's help would help.
	help bool
}

func (e codedError) Error() string { return e.err.Error() }
func (e codedError) Unwrap() error { return e.err }

func usageError(err error) error { return codedError{code: exitUsage, err: err, help: true} }

// program is what a command gets from the process.
type program struct {
	env    func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
	// onSignal calls a function at the next interrupt; nil where there are none.
	onSignal func(func())
}

// run runs a command line and returns its exit code. It ends when ctx does.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer, onSignal func(func())) int {
	p := &program{env: env, stdout: stdout, stderr: stderr, onSignal: onSignal}
	root := p.root()
	root.SetArgs(args)
	root.InitDefaultCompletionCmd(args...)
	plainBooleans(root) // those of the completion command too
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	return p.fail(root, command, err)
}

// root is the command with all others below it.
func (p *program) root() *cobra.Command {
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
	root.SetOut(p.stdout)
	root.SetErr(p.stderr)
	root.SetFlagErrorFunc(flagError)
	grouped := func(id, title string, commands ...*cobra.Command) {
		root.AddGroup(&cobra.Group{ID: id, Title: title})
		for _, command := range commands {
			command.GroupID = id
		}
		root.AddCommand(commands...)
	}
	grouped("server", "Server:", p.demo(), p.dev(), p.serve(), p.configCommands())
	grouped("producer", "Publish and wait:", p.publish(), p.watch(), p.await())
	grouped("worker", "Work:", p.worker(), p.read(), p.complete(), p.ack(), p.nack(), p.extend())
	grouped("job", "Jobs and queues:", p.stateCommands(), p.jobCommands(), p.queueCommands(), p.groupCommands(), p.deadCommands())
	root.AddCommand(p.bench())
	root.AddCommand(p.version())
	root.Flags().Bool("version", false, "print the version")
	plainBooleans(root)
	completeWords(root)
	return root
}

// flagError is the error of flags that can't be read.
func flagError(_ *cobra.Command, err error) error {
	var bad *pflag.InvalidValueError
	if errors.As(err, &bad) {
		err = badValue("--"+bad.GetFlag().Name, bad.GetValue(), bad.GetFlag())
	}
	return usageError(err)
}

// fail reports an error, in one line where it is one, and says the exit code.
func (p *program) fail(root, command *cobra.Command, err error) int {
	var coded codedError
	if !errors.As(err, &coded) {
		coded.code = exitError
		if cobraUsage(root, command, err) {
			coded = codedError{code: exitUsage, help: true}
		}
	}
	text := strings.TrimSpace(err.Error())
	if coded.help && !strings.Contains(text, "\n") {
		text += fmt.Sprintf(" (see '%s --help')", command.CommandPath())
	}
	lines := strings.Split(text, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	fmt.Fprintf(p.stderr, "%s: %s\n", command.CommandPath(), strings.Join(lines, "\n"))
	return coded.code
}

// cobraUsage is true of cobra's own errors: an unknown command, flags that exclude each
// other.
func cobraUsage(root, command *cobra.Command, err error) bool {
	return command == root || strings.Contains(err.Error(), "none of the others can be")
}

func (p *program) version() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  argus version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.stdout, "argus", version())
			return err
		},
	}
}

// release is the version of the product.
const release = "0.1.0"

// version is the release, and the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		info = &debug.BuildInfo{}
	}
	return release + " (" + commit(info.Settings) + ")"
}

// commit is the commit of a build, as far as the build knows it.
func commit(settings []debug.BuildSetting) string {
	values := make(map[string]string, len(settings))
	for _, s := range settings {
		values[s.Key] = s.Value
	}
	switch {
	case values["vcs.revision"] == "":
		return "commit unknown: built without version control"
	case values["vcs.modified"] == "true":
		return "commit " + values["vcs.revision"] + ", with changes"
	}
	return "commit " + values["vcs.revision"]
}

func noArgs(command *cobra.Command, args []string) error { return noArgsBut("")(command, args) }

// noArgsBut is for a command without arguments. instead is how to write what a person who
// gives one may mean, with %s for the argument.
func noArgsBut(instead string) cobra.PositionalArgs {
	return func(command *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		hint := ""
		if instead != "" {
			hint = "; write " + fmt.Sprintf(instead, shellWord(args[0]))
		}
		return usageError(fmt.Errorf("it takes no arguments, got %q%s", args[0], hint))
	}
}
