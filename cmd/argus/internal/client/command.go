package client

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// Release is the version of the product.
const Release = "0.1.0"

// Command describes a command that calls a server.
type Command struct {
	// Help has the command's name, its texts and the check of its arguments.
	Help *cobra.Command
	// Flags declares the command's own flags; nil for none.
	Flags func(*pflag.FlagSet)
	// Run runs the command with an open connection, which is closed when it returns.
	Run func(ctx context.Context, c *Client, args []string) error
	// TakesQueue lets shells complete the argument as the name of a queue.
	TakesQueue bool
}

// Cobra makes the command, with the flags of the connection.
func (c Command) Cobra(p *shell.Process) *cobra.Command {
	flags := newConnectionFlags(c.Help.Flags())
	if c.Flags != nil {
		c.Flags(c.Help.Flags())
	}
	flags.declare()
	c.completeQueues(p, flags)
	c.Help.RunE = func(command *cobra.Command, args []string) error {
		client, err := flags.open(p, command.CommandPath())
		if err != nil {
			return err
		}
		defer client.Close()
		err = c.Run(command.Context(), client, args)
		if err != nil && command.Context().Err() != nil && !shell.HasExitCode(err) {
			return Interrupted()
		}
		return client.ExitError(err)
	}
	return c.Help
}

// Interrupted is the error of a command that a signal ended.
func Interrupted() error {
	return shell.ExitError{Code: shell.ExitInterrupted, Err: errors.New("interrupted")}
}

// completeQueues lets shells complete the names of queues: after --queue, and as the argument of a
// command that takes a queue.
func (c Command) completeQueues(p *shell.Process, flags *connectionFlags) {
	complete := func(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if c.TakesQueue && len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return queueNames(p, flags), cobra.ShellCompDirectiveNoFileComp
	}
	if c.TakesQueue {
		c.Help.ValidArgsFunction = complete
	}
	if c.Help.Flags().Lookup("queue") != nil {
		_ = c.Help.RegisterFlagCompletionFunc("queue", complete)
	}
}

// completeTimeout bounds how long a shell's completion waits for the server.
const completeTimeout = time.Second

// queueNames asks the server for its queues; it returns none when the server does not answer in
// time.
func queueNames(p *shell.Process, flags *connectionFlags) []string {
	client, err := flags.open(p, "")
	if err != nil {
		return nil
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	response, err := client.Admin.ListQueues(ctx, &argusv1.ListQueuesRequest{})
	if err != nil {
		return nil
	}
	var names []string
	for _, queue := range response.GetQueues() {
		names = append(names, queue.GetName())
	}
	return names
}
