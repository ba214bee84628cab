package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/spf13/cobra"
)

// Exit codes.
const (
	exitOK          = 0
	exitError       = 1
	exitUsage       = 2
	exitUnavailable = 5
)

// codedError says which code a failure ends the program with.
type codedError struct {
	code int
	err  error
}

func (e codedError) Error() string { return e.err.Error() }
func (e codedError) Unwrap() error { return e.err }

func usageError(err error) error { return codedError{exitUsage, err} }

// program is what a command gets from the process.
type program struct {
	env    func(string) (string, bool)
	stdout io.Writer
	stderr io.Writer
}

// run runs a command line and returns its exit code. It ends when ctx does.
func run(ctx context.Context, args []string, env func(string) (string, bool), stdout, stderr io.Writer) int {
	p := &program{env: env, stdout: stdout, stderr: stderr}
	root := &cobra.Command{
		Use:   "argus",
		Short: "A task queue, job state and completion events over Redis, by gRPC",
		Example: `  argus dev                               try it: an in-memory store, nothing to set up
  argus serve --redis-addr redis:6379     run it on a Redis`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	root.AddCommand(p.dev(), p.serve(), p.version())
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "%s: %v\n", command.CommandPath(), err)
	var coded codedError
	switch {
	case errors.As(err, &coded) && coded.code == exitUsage:
		fmt.Fprintf(stderr, "Run '%s --help' for the flags and examples.\n", command.CommandPath())
		return exitUsage
	case errors.As(err, &coded):
		return coded.code
	case command == root: // cobra's own: an unknown command
		return exitUsage
	}
	return exitError
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

// version is the release, and the commit where the build knows it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return release + " (" + s.Value + ")"
		}
	}
	return release
}

func noArgs(command *cobra.Command, args []string) error {
	if err := cobra.NoArgs(command, args); err != nil {
		return usageError(err)
	}
	return nil
}
