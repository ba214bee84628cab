// Package cli has the client commands of argus. They speak gRPC with a server, and never use Redis.
package cli

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// ProducerCommands are the commands that publish tasks and wait for results.
func ProducerCommands(p *shell.Process) []*cobra.Command {
	return []*cobra.Command{publishCommand(p), watchCommand(p), awaitCommand(p)}
}

// WorkerCommands are the commands that work tasks off.
func WorkerCommands(p *shell.Process) []*cobra.Command {
	return []*cobra.Command{workerCommand(p), readCommand(p), completeCommand(p), ackCommand(p), nackCommand(p), extendCommand(p)}
}

// AdminCommands are the commands that show and change jobs and queues.
func AdminCommands(p *shell.Process) []*cobra.Command {
	return []*cobra.Command{stateCommands(p), jobCommands(p), queueCommands(p), groupCommands(p), deadCommands(p)}
}

// DefaultConsumer names a worker after its machine and process.
func DefaultConsumer() string {
	host, err := os.Hostname()
	if err != nil {
		host = "argus"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}

// parsePairs parses the values of a flag that have the form name=value.
func parsePairs(flag string, list []string) (map[string]string, error) {
	fields := make(map[string]string, len(list))
	for _, pair := range list {
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" {
			return nil, shell.Usagef("%s: %q is not name=value", flag, pair)
		}
		fields[name] = value
	}
	return fields, nil
}

// parseStatus parses a status as people write it: "completed".
func parseStatus(word string) (argusv1.JobStatus, error) {
	value, ok := argusv1.JobStatus_value["JOB_STATUS_"+strings.ToUpper(word)]
	if !ok || value == 0 {
		return 0, shell.Usagef("--status: %q is not one of pending, running, completed, partial, failed, cancelled", word)
	}
	return argusv1.JobStatus(value), nil
}

// optionalQueue checks the arguments of a command for one queue.
func optionalQueue(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return shell.Usagef("want one queue at most, got %d arguments", len(args))
	}
	return nil
}

// firstArgument returns the first argument; "" when there is none, which means the default queue.
func firstArgument(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// leasedUntil writes the end of a lease, and whether it has expired.
func leasedUntil(t *argusv1.TaskInfo) string {
	until := output.Clock(t.GetLeaseExpireTime())
	if t.GetPlace() == argusv1.TaskPlace_TASK_PLACE_WAITING {
		return until + " (expired)"
	}
	return until
}

func count[N int32 | int64](n N) string { return fmt.Sprint(n) }
