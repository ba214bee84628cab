package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func ackCommand(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "ack TOKEN...",
		Short:   "Settle tasks without a result",
		Example: "  argus ack AQZhcmd1czo...",
		Args:    shell.AtLeast(1, "a lease token"),
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Queue.Ack(ctx, &argusv1.AckRequest{LeaseTokens: args})
		if err != nil {
			return err
		}
		rows := [][]string{{"MESSAGE", "OUTCOME"}}
		for _, r := range response.GetResults() {
			rows = append(rows, []string{r.GetMessageId(), strings.TrimPrefix(r.GetOutcome().String(), "ACK_OUTCOME_")})
		}
		if err := c.Out.Print(response, rows...); err != nil {
			return err
		}
		return notAcked(response.GetResults())
	}}.Cobra(p)
}

// notAcked is the error of tasks that were not acknowledged. It has the exit code and the reason
// that other commands have for such a token.
func notAcked(results []*argusv1.AckResult) error {
	bad, code, reason := 0, shell.ExitFailure, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST
	for _, r := range results {
		if r.GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_ACKED {
			bad++
		}
		if r.GetOutcome() == argusv1.AckOutcome_ACK_OUTCOME_INVALID {
			code, reason = shell.ExitUsage, argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID
		}
	}
	if bad == 0 {
		return nil
	}
	return shell.Exitf(code, "%d of %d were not acknowledged (%s)", bad, len(results), strings.TrimPrefix(reason.String(), "ERROR_REASON_"))
}

func nackCommand(p *shell.Process) *cobra.Command {
	request := &argusv1.NackRequest{}
	var delay time.Duration
	help := &cobra.Command{
		Use:   "nack TOKEN",
		Short: "Requeue a task, now or later, or make it a dead letter",
		Example: `  argus nack "$TOKEN" --delay 1m --reason "registry is down"
  argus nack "$TOKEN" --dead-letter --reason "no such image"`,
		Args: shell.Exactly(1, "one lease token"),
	}
	return client.Command{Help: help, Flags: func(flags *pflag.FlagSet) {
		flags.DurationVar(&delay, "delay", 0, "minimum time until it is delivered again; without it the queue's back-off")
		flags.BoolVar(&request.Release, "release", false, "as if it had not been delivered: at once, without counting an attempt")
		flags.BoolVar(&request.DeadLetter, "dead-letter", false, "don't deliver it again")
		flags.StringVar(&request.Reason, "reason", "", "why; kept with the task")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		request.LeaseToken = args[0]
		if help.Flags().Changed("delay") {
			request.Delay = durationpb.New(delay)
		}
		response, err := c.Queue.Nack(ctx, request)
		if err != nil {
			return err
		}
		return c.Out.Print(response, []string{nackOutcome(response)})
	}}.Cobra(p)
}

// nackOutcome says the outcome of a task that was requeued.
func nackOutcome(r *argusv1.NackResponse) string {
	switch {
	case r.GetOutcome() == argusv1.NackOutcome_NACK_OUTCOME_DEAD:
		return "put to the dead letters"
	case r.GetOutcome() == argusv1.NackOutcome_NACK_OUTCOME_CANCELLED:
		return "dropped: its job was cancelled"
	case r.GetDelay().AsDuration() > 0:
		return "requeued, due in " + r.GetDelay().AsDuration().Round(time.Millisecond).String()
	}
	return "requeued"
}

func extendCommand(p *shell.Process) *cobra.Command {
	var fields []string
	return client.Command{Help: &cobra.Command{
		Use:     "extend TOKEN",
		Short:   "Renew a lease, and write progress",
		Example: `  argus extend "$TOKEN" --field progress=50`,
		Args:    shell.Exactly(1, "one lease token"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringArrayVar(&fields, "field", nil, "field of the job's state, name=value; may be repeated")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		progress, err := parsePairs("--field", fields)
		if err != nil {
			return err
		}
		response, err := c.Queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: args[0], ProgressFields: progress})
		if err != nil {
			return err
		}
		row := []string{"leased until " + output.Clock(response.GetLeaseExpireTime())}
		if response.GetCancelRequested() {
			row = append(row, "cancel requested")
		}
		return c.Out.Print(response, row)
	}}.Cobra(p)
}
