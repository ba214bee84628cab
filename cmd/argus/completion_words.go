package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// completeTimeout is how long a shell's completion may wait for the server.
const completeTimeout = time.Second

// flagWords are the values that some flags have, for a shell to complete, by the path of their
// command, or for any command that has such a flag.
var flagWords = map[string]map[string][]string{
	"": {
		"output":      outputs,
		"status":      {"completed", "partial", "failed", "cancelled"},
		"on-conflict": {"fail", "keep", "replace"},
		"log-level":   {"debug", "info", "warn", "error"},
		"log-format":  {"auto", "text", "json"},
		"encoding":    {"fields", "json"},
	},
	"argus job ls": {"state": jobPlaceWords},
	"argus worker": {"log-format": {"text", "json"}},
}

// completeWords lets shells complete the flags of a command, and of those below it, that have
// few values.
func completeWords(command *cobra.Command) {
	command.Flags().VisitAll(func(f *pflag.Flag) {
		list := flagWords[command.CommandPath()][f.Name]
		if list == nil {
			list = flagWords[""][f.Name]
		}
		if list != nil {
			_ = command.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(list, cobra.ShellCompDirectiveNoFileComp))
		}
	})
	for _, sub := range command.Commands() {
		completeWords(sub)
	}
}

// completeQueues lets shells complete the names of queues, for which it asks the server: after
// --queue, and as the argument of a command that takes a queue.
func (c *client) completeQueues(command *cobra.Command, isArgument bool) {
	complete := func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if isArgument && len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return c.queueNames(), cobra.ShellCompDirectiveNoFileComp
	}
	if isArgument {
		command.ValidArgsFunction = complete
		return
	}
	_ = command.RegisterFlagCompletionFunc("queue", complete)
}

// queueNames are the queues of the server; none when it does not answer at once.
func (c *client) queueNames() []string {
	if err := c.open(); err != nil {
		return nil
	}
	defer c.conn.Close()
	ctx, cancel := context.WithTimeout(context.Background(), completeTimeout)
	defer cancel()
	response, err := c.admin.ListQueues(ctx, &argusv1.ListQueuesRequest{})
	if err != nil {
		return nil
	}
	var names []string
	for _, queue := range response.GetQueues() {
		names = append(names, queue.GetName())
	}
	return names
}
