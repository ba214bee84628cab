// Package shell is what a command and the shell that starts it exchange: environment, standard
// streams, arguments, signals and exit codes.
package shell

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// Process is what a command gets from the process that it runs in.
type Process struct {
	// Env looks up an environment variable.
	Env    func(string) (string, bool)
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// OnSignal calls a function at the next interrupt; nil where there are no signals.
	OnSignal func(func())
}

// ThisProcess is the process itself.
func ThisProcess() *Process {
	return &Process{Env: os.LookupEnv, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, OnSignal: onSignal}
}

// UntilSignal returns a context that ends at the first interrupt, which asks for an orderly end.
// The next one ends the process at once, unless a command handles it with OnSignal.
func UntilSignal() (ctx context.Context, stop func()) {
	ctx, stop = signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// onSignal calls do at the next interrupt. The one after that ends the process.
func onSignal(do func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		do()
		signal.Stop(signals)
	}()
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	file, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
