package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
)

// exitCodesHelp explains the exit codes of watch and await.
const exitCodesHelp = `
The exit code is 0 when all jobs completed; else 10 when one failed, 11 when one was
cancelled, 12 when one is partial; 124 after a timeout.`

func watchCommand(p *shell.Process) *cobra.Command {
	var w watcher
	return client.Command{Help: &cobra.Command{
		Use:   "watch JOB...",
		Short: "Print the events of jobs until each has its result",
		Long: `Print the events of jobs until each has its result. When the connection breaks, the watch
reconnects and continues where it stopped.
` + exitCodesHelp,
		Example: `  argus watch demo-1
  argus watch demo-1 --state
  argus watch demo-1 demo-2 --timeout 10m -o jsonl`,
		Args: shell.AtLeast(1, "a job"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&w.after, "after", "", "only events after this cursor")
		flags.BoolVar(&w.includeState, "state", false, "print changes of the job's state too")
		flags.DurationVar(&w.timeout, "timeout", 0, "maximum time to wait; 0 means no limit")
	}, Run: func(ctx context.Context, c *client.Client, jobs []string) error {
		if w.after != "" && len(jobs) > 1 {
			return shell.Usagef("--after: is for a single job")
		}
		w.Client, w.hint = c, func(ctx context.Context) string { return jobHint(ctx, c, jobs[0]) }
		return w.watch(ctx, jobs)
	}}.Cobra(p)
}

// withTimeout is ctx with a time limit, if there is one.
func withTimeout(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	if d <= 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d)
}
