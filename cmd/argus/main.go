// Command argus is Argus Queue: a task queue, job state and completion events over
// Redis, by gRPC; and its clients.
package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	// The first signal asks for an orderly end. After it the next one ends the program at
	// once, unless a command has something better to do.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	if len(os.Args) < 2 || !isForShell(os.Args[1]) {
		warnOfVariables(os.Stderr, os.Environ(), knownVariables((&program{env: os.LookupEnv}).root()))
	}
	code := run(ctx, hideSecrets(os.Args[1:]), os.LookupEnv, os.Stdout, os.Stderr, onSignal)
	stop()
	os.Exit(code)
}

// onSignal calls do at the next signal.
func onSignal(do func()) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		do()
		signal.Stop(signals) // and the one after that ends the program
	}()
}

// isForShell is true of the commands whose reader is a shell, not a person.
func isForShell(command string) bool {
	return strings.HasPrefix(command, "__complete") || command == "completion"
}
