package serve

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// ConfigCommand is the command config.
func ConfigCommand(p *shell.Process) *cobra.Command {
	return shell.Group("config", "Print or check the settings of the server", `  argus config print --config argus.yaml
  argus config validate argus.yaml`,
		configPrint(p), configValidate(p))
}

func configPrint(p *shell.Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "print",
		Short: "Print the settings as serve would use them, as YAML, without secrets",
		Example: `  argus config print
  ARGUS_REDIS_ADDR=redis:6379 argus config print --config argus.yaml`,
		Args: shell.NoArgsBut("argus config print --config %s"),
	}
	config := newConfig(command.Flags())
	command.RunE = func(*cobra.Command, []string) error {
		if err := config.load(p.Env); err != nil {
			return err
		}
		config.settings.PrintWarnings(p.Stderr)
		text, err := config.yaml()
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(p.Stdout, text)
		return err
	}
	return command
}

func configValidate(p *shell.Process) *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a YAML file with settings",
		Example: "  argus config validate argus.yaml",
		Args:    shell.Exactly(1, "one file"),
		RunE: func(command *cobra.Command, args []string) error {
			config := newConfig(command.Flags())
			config.settings.UseFile(args[0])
			if err := config.load(noEnvironment); err != nil {
				return err
			}
			config.settings.PrintWarnings(p.Stderr)
			_, err := fmt.Fprintf(p.Stdout, "%s: ok\n", args[0])
			return err
		},
	}
}

// noEnvironment is the environment for the check of a file: the check ignores variables.
func noEnvironment(string) (string, bool) { return "", false }
