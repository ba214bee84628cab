package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func awaitCommand(p *shell.Process) *cobra.Command {
	var timeout time.Duration
	return client.Command{Help: &cobra.Command{
		Use:     "await JOB",
		Short:   "Wait for a job's result, and print only that",
		Long:    "Wait for a job's result, and print only that.\n" + exitCodesHelp,
		Example: "  argus await demo-1 --timeout 5m && echo done",
		Args:    shell.Exactly(1, "one job"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.DurationVar(&timeout, "timeout", 0, "maximum time to wait; 0 means no limit")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		ctx, cancel := withTimeout(ctx, timeout)
		defer cancel()
		return awaitJob(ctx, c, args[0])
	}}.Cobra(p)
}

// awaitPeriod is how long one call waits.
const awaitPeriod = time.Minute

// awaitJob waits until the job has its result, or ctx ends.
func awaitJob(ctx context.Context, c *client.Client, job string) error {
	defer hintWhile(ctx, c, func(ctx context.Context) string { return jobHint(ctx, c, job) })()
	for {
		var response *argusv1.AwaitResponse
		err := c.Retry(ctx, func() (err error) {
			response, err = c.Completion.Await(ctx, &argusv1.AwaitRequest{JobId: job, Wait: durationpb.New(awaitPeriod)})
			return err
		})
		switch {
		case hasEnded(ctx, err):
			return endError(ctx)
		case err != nil:
			return err
		case response.GetDone():
			if err := c.Out.Print(response, eventRow(response.GetEvent())); err != nil {
				return err
			}
			return resultError(response.GetEvent())
		}
	}
}
