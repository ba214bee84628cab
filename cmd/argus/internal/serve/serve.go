// Package serve has the server side of argus: its commands, its settings, and what it runs.
package serve

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/settings"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// Command is the command serve.
func Command(p *shell.Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "serve",
		Short: "Serve gRPC over a Redis",
		Long: `Serve gRPC over a Redis (6.2 or newer, Valkey, Sentinel or Cluster).

A setting is taken from its flag, else from its environment variable (in brackets),
else from the YAML file, else its default. redis.pool_size in YAML is
--redis-pool-size and ARGUS_REDIS_POOL_SIZE. The file may also have a section
"queues" with the settings of single queues.`,
		Example: `  argus serve
  argus serve --redis-addr redis:6379 --redis-password-file /run/secrets/redis
  argus serve --config argus.yaml
  argus serve --redis-cluster --redis-addr n1:6379,n2:6379 --redis-shards 12`,
		Args: shell.NoArgsBut("argus serve --config %s"),
	}
	config := newConfig(command.Flags())
	command.RunE = func(command *cobra.Command, _ []string) error {
		return run(command.Context(), p, config, func(addr string, s *store) {
			fmt.Fprintf(p.Stdout, "argus serve: gRPC on %s (reflection, health), store %s\n", addr, s.name)
		})
	}
	return command
}

// DevCommand is the command dev.
func DevCommand(p *shell.Process) *cobra.Command {
	command := &cobra.Command{
		Use:   "dev",
		Short: "Try it: gRPC over an in-memory store, nothing to set up",
		Long: `Serve gRPC over a store in this process's memory, to try things out. Everything is lost on
exit. With --redis-addr it uses a Redis instead, as serve does. The store has a password, a new
one at each start: the line of the banner with redis-cli shows it.

It takes the same settings as serve.`,
		Example: `  argus dev
  argus dev --grpc-addr localhost:7300
  argus dev --redis-addr localhost:6379`,
		Args: shell.NoArgs,
	}
	config := newConfig(command.Flags())
	config.isDev = true
	command.RunE = func(command *cobra.Command, _ []string) error {
		return run(command.Context(), p, config, func(addr string, s *store) { fmt.Fprint(p.Stdout, devBanner(addr, s)) })
	}
	return command
}

func devBanner(addr string, s *store) string {
	redisCLI, addrFlag := "", settings.AddrFlag(addr)
	if s.redisCLI != "" {
		redisCLI = "\n             " + s.redisCLI
	}
	return fmt.Sprintf(`argus dev: no authentication, no TLS: not for production
  gRPC       %s      (reflection, health)
  Store      %s%s
  Work       argus worker%s -- echo done
  Try        argus publish --job-id demo-1 --scanner trivy --wait%s
`, addr, s.name, redisCLI, addrFlag, addrFlag)
}
