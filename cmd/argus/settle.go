package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// defaultConsumer names a worker after its machine and process.
func defaultConsumer() string {
	host, err := os.Hostname()
	if err != nil {
		host = "argus"
	}
	return host + "-" + strconv.Itoa(os.Getpid())
}

func (p *program) read() *cobra.Command {
	r := &argusv1.ReadRequest{}
	var wait time.Duration
	command, c := p.command(&cobra.Command{
		Use:   "read",
		Short: "Lease tasks, and print them with their lease tokens",
		Long: `Lease tasks, and print them. Each is this consumer's until its lease runs out; settle it
with complete, ack or nack, or keep it with extend. No task is no error.`,
		Example: `  argus read --consumer worker-1
  argus read --consumer worker-1 --max 10 --wait 30s -o jsonl
  argus read --consumer worker-1 --own-pending`,
		Args: noArgsBut("argus read --queue %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		r.Wait = durationpb.New(wait)
		response, err := c.queue.Read(ctx, r)
		if err != nil {
			return err
		}
		if c.Output != "table" {
			for _, d := range response.GetDeliveries() {
				if err := c.print(d); err != nil {
					return err
				}
			}
			return nil
		}
		rows := [][]string{{"JOB", "ATTEMPT", "LEASED UNTIL", "SCANNERS", "TOKEN"}}
		for _, d := range response.GetDeliveries() {
			rows = append(rows, []string{idText(d.GetTask().GetJobId()), strconv.Itoa(int(d.GetDeliveryAttempt())),
				clock(d.GetLeaseExpireTime()), strings.Join(d.GetTask().GetScanners(), ","), d.GetLeaseToken()})
		}
		return c.table(rows...)
	})
	flags := command.Flags()
	flags.StringVar(&r.Queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&r.Group, "group", "", "consumer group; empty means the server's default")
	flags.StringVar(&r.Consumer, "consumer", defaultConsumer(), "this worker's name")
	flags.Int32Var(&r.MaxTasks, "max", 1, "how many tasks at most")
	flags.DurationVar(&wait, "wait", 5*time.Second, "how long to wait for a task")
	flags.BoolVar(&r.OwnPending, "own-pending", false, "what this consumer holds already, instead of new work")
	c.connection()
	return command
}

func (p *program) ack() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "ack TOKEN...",
		Short:   "Settle tasks without a result",
		Example: "  argus ack AQZhcmd1czo...",
		Args:    atLeast(1, "a lease token"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.queue.Ack(ctx, &argusv1.AckRequest{LeaseTokens: args})
		if err != nil {
			return err
		}
		rows := [][]string{{"MESSAGE", "OUTCOME"}}
		for _, r := range response.GetResults() {
			rows = append(rows, []string{r.GetMessageId(), strings.TrimPrefix(r.GetOutcome().String(), "ACK_OUTCOME_")})
		}
		if err := c.print(response, rows...); err != nil {
			return err
		}
		return notAcked(response.GetResults())
	})
	c.connection()
	return command
}

// notAcked is the error of tasks that were not acknowledged: with the exit code and the reason
// that other commands have for such a token.
func notAcked(results []*argusv1.AckResult) error {
	bad, code, reason := 0, exitError, argusv1.ErrorReason_ERROR_REASON_LEASE_LOST
	for _, r := range results {
		if r.GetOutcome() != argusv1.AckOutcome_ACK_OUTCOME_ACKED {
			bad++
		}
		if r.GetOutcome() == argusv1.AckOutcome_ACK_OUTCOME_INVALID {
			code, reason = exitUsage, argusv1.ErrorReason_ERROR_REASON_LEASE_TOKEN_INVALID
		}
	}
	if bad == 0 {
		return nil
	}
	return codedError{code: code, err: fmt.Errorf("%d of %d were not acknowledged (%s)", bad, len(results), strings.TrimPrefix(reason.String(), "ERROR_REASON_"))}
}

func (p *program) nack() *cobra.Command {
	r := &argusv1.NackRequest{}
	var delay time.Duration
	var command *cobra.Command
	command, c := p.command(&cobra.Command{
		Use:   "nack TOKEN",
		Short: "Give a task back, now or later, or put it to the dead letters",
		Example: `  argus nack "$TOKEN" --delay 1m --reason "registry is down"
  argus nack "$TOKEN" --dead-letter --reason "no such image"`,
		Args: exactly(1, "one lease token"),
	}, func(ctx context.Context, c *client, args []string) error {
		r.LeaseToken = args[0]
		if command.Flags().Changed("delay") {
			r.Delay = durationpb.New(delay)
		}
		response, err := c.queue.Nack(ctx, r)
		if err != nil {
			return err
		}
		text := "given back"
		switch {
		case response.GetOutcome() == argusv1.NackOutcome_NACK_OUTCOME_DEAD:
			text = "put to the dead letters"
		case response.GetOutcome() == argusv1.NackOutcome_NACK_OUTCOME_CANCELLED:
			text = "dropped: its job was cancelled"
		case response.GetDelay().AsDuration() > 0:
			text += ", due in " + response.GetDelay().AsDuration().Round(time.Millisecond).String()
		}
		return c.print(response, []string{text})
	})
	command.Flags().DurationVar(&delay, "delay", 0, "deliver it again no sooner than this; without it the queue's back-off")
	command.Flags().BoolVar(&r.Release, "release", false, "as if it had not been delivered: at once, without counting an attempt")
	command.Flags().BoolVar(&r.DeadLetter, "dead-letter", false, "don't deliver it again")
	command.Flags().StringVar(&r.Reason, "reason", "", "why; kept with the task")
	c.connection()
	return command
}

func (p *program) extend() *cobra.Command {
	var fields []string
	command, c := p.command(&cobra.Command{
		Use:     "extend TOKEN",
		Short:   "Renew a lease, and write progress",
		Example: `  argus extend "$TOKEN" --field progress=50`,
		Args:    exactly(1, "one lease token"),
	}, func(ctx context.Context, c *client, args []string) error {
		progress, err := pairs("--field", fields)
		if err != nil {
			return err
		}
		response, err := c.queue.ExtendLease(ctx, &argusv1.ExtendLeaseRequest{LeaseToken: args[0], ProgressFields: progress})
		if err != nil {
			return err
		}
		row := []string{"leased until " + clock(response.GetLeaseExpireTime())}
		if response.GetCancelRequested() {
			row = append(row, "cancel requested")
		}
		return c.print(response, row)
	})
	command.Flags().StringArrayVar(&fields, "field", nil, "field of the job's state, name=value; may be repeated")
	c.connection()
	return command
}

func (p *program) complete() *cobra.Command {
	var fields []string
	var word, message, part string
	command, c := p.command(&cobra.Command{
		Use:   "complete TOKEN",
		Short: "Record a job's result, and settle its task",
		Example: `  argus complete "$TOKEN" --field findings=3
  argus complete "$TOKEN" --status failed --error "no such image"`,
		Args: exactly(1, "one lease token"),
	}, func(ctx context.Context, c *client, args []string) error {
		result, err1 := parseStatus(word)
		values, err2 := pairs("--field", fields)
		if err := errors.Join(err1, err2); err != nil {
			return usageError(err)
		}
		request := &argusv1.CompleteRequest{LeaseToken: args[0], Status: result, Fields: values, ErrorMessage: message, Part: part}
		var response *argusv1.CompleteResponse
		err := c.retry(ctx, func() (err error) {
			response, err = c.queue.Complete(ctx, request)
			return err
		})
		if err != nil {
			return err
		}
		row := []string{"recorded at " + response.GetCursor()}
		if response.GetAlreadyCompleted() {
			row = []string{"the job had its result already, at " + response.GetCursor()}
		}
		return c.print(response, row)
	})
	command.Flags().StringVar(&word, "status", "completed", "completed, partial, failed or cancelled")
	command.Flags().StringArrayVar(&fields, "field", nil, "field of the result, name=value; may be repeated")
	command.Flags().StringVar(&message, "error", "", "what went wrong")
	command.Flags().StringVar(&part, "part", "", "the part of the job that this is the result of")
	c.connection()
	return command
}

func atLeast(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) < n {
			return usageError(fmt.Errorf("want %s", what))
		}
		return nil
	}
}

func exactly(n int, what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) != n {
			return usageError(fmt.Errorf("want %s, got %d arguments", what, len(args)))
		}
		return nil
	}
}
