package root

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/cli"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
)

// flagWords has the values of flags that shells complete, by the path of a command, or under "" for
// every command with such a flag.
var flagWords = map[string]map[string][]string{
	"": {
		"output":      output.Formats,
		"status":      {"completed", "partial", "failed", "cancelled"},
		"on-conflict": {"fail", "keep", "replace"},
		"log-level":   {"debug", "info", "warn", "error"},
		"log-format":  {"auto", "text", "json"},
		"encoding":    {"fields", "json"},
	},
	"argus job ls": {"state": cli.JobStates},
	"argus worker": {"log-format": {"text", "json"}},
}

// completeWords lets shells complete flagWords for a command and those below it.
func completeWords(command *cobra.Command) {
	command.Flags().VisitAll(func(f *pflag.Flag) {
		words := flagWords[command.CommandPath()][f.Name]
		if words == nil {
			words = flagWords[""][f.Name]
		}
		if words != nil {
			_ = command.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
		}
	})
	for _, sub := range command.Commands() {
		completeWords(sub)
	}
}
