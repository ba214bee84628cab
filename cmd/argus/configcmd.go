package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

func (p *program) configCommands() *cobra.Command {
	command := &cobra.Command{
		Use:   "config",
		Short: "Print or check the settings of the server",
		Example: `  argus config print --config argus.yaml
  argus config validate argus.yaml`,
		RunE: needsCommand,
	}
	command.AddCommand(p.configPrint(), p.configValidate())
	return command
}

func (p *program) configPrint() *cobra.Command {
	command := &cobra.Command{
		Use:   "print",
		Short: "Print the settings as serve would use them, as YAML, without secrets",
		Example: `  argus config print
  ARGUS_REDIS_ADDR=redis:6379 argus config print --config argus.yaml`,
		Args: noArgsBut("argus config print --config %s"),
	}
	config := newConfig(command.Flags())
	command.RunE = func(*cobra.Command, []string) error {
		if err := config.load(p.env); err != nil {
			return err
		}
		p.printWarnings(config.settings)
		text, err := config.yaml()
		if err != nil {
			return err
		}
		_, err = fmt.Fprint(p.stdout, text)
		return err
	}
	return command
}

func (p *program) configValidate() *cobra.Command {
	return &cobra.Command{
		Use:     "validate FILE",
		Short:   "Check a YAML file with settings",
		Example: "  argus config validate argus.yaml",
		Args:    exactly(1, "one file"),
		RunE: func(command *cobra.Command, args []string) error {
			config := newConfig(command.Flags())
			config.file, config.fileOnly = args[0], true
			if err := config.load(noEnvironment); err != nil {
				return err
			}
			p.printWarnings(config.settings)
			_, err := fmt.Fprintf(p.stdout, "%s: ok\n", args[0])
			return err
		},
	}
}

// noEnvironment keeps the environment out of the check of a file.
func noEnvironment(string) (string, bool) { return "", false }

// yaml writes the settings as a file that serve reads.
func (c *config) yaml() (string, error) {
	tree := yaml.MapSlice{}
	for _, key := range c.keys {
		value := c.value(key)
		group, name, grouped := strings.Cut(key, ".")
		if !grouped {
			tree = append(tree, yaml.MapItem{Key: key, Value: value})
			continue
		}
		if n := len(tree); n == 0 || tree[n-1].Key != group {
			tree = append(tree, yaml.MapItem{Key: group, Value: yaml.MapSlice{}})
		}
		last := &tree[len(tree)-1]
		last.Value = append(last.Value.(yaml.MapSlice), yaml.MapItem{Key: name, Value: value})
	}
	if len(c.Broker.Queues) > 0 {
		tree = append(tree, yaml.MapItem{Key: "queues", Value: c.Broker.Queues})
	}
	text, err := yaml.Marshal(tree)
	return string(text), err
}

// value is a setting's value as YAML has it. A secret is not shown.
func (c *config) value(key string) any {
	flag := c.flags.Lookup(flagName(key)).Value
	text := flag.String()
	if isSecret(key) && text != "" {
		return "(set, not shown)"
	}
	if on, err := strconv.ParseBool(text); err == nil && flag.Type() == "bool" {
		return on
	}
	if n, err := strconv.Atoi(text); err == nil && flag.Type() == "int" {
		return n
	}
	return text
}
