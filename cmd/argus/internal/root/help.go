package root

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// plainBool is a boolean flag that help shows as --wait, not as --wait[=true|false].
type plainBool struct{ pflag.Value }

// plainBooleans changes the help of a command, and of those below it, accordingly.
func plainBooleans(command *cobra.Command) {
	command.InitDefaultHelpFlag()
	command.Flags().VisitAll(func(f *pflag.Flag) {
		if _, isPlain := f.Value.(plainBool); !isPlain && f.Value.Type() == "bool" {
			f.Value = plainBool{f.Value}
		}
	})
	for _, sub := range command.Commands() {
		plainBooleans(sub)
	}
}
