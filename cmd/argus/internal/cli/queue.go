package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func queueCommands(p *shell.Process) *cobra.Command {
	return shell.Group("queue", "Inspect, pause and purge queues", `  argus queue ls
  argus queue describe nightly
  argus queue pause nightly`,
		queueList(p), queueDescribe(p), queuePause(p), queueResume(p), queuePurge(p))
}

var queueHead = []string{"QUEUE", "WAITING", "LEASED", "DELAYED", "DEAD", "OLDEST", "PAUSED SINCE"}

func queueRow(q *argusv1.Queue) []string {
	return []string{output.ID(q.GetName()), count(q.GetWaiting()), count(q.GetLeased()), count(q.GetDelayed()), count(q.GetDead()),
		age(q.GetOldestPublishTime()), output.Clock(q.GetPauseTime())}
}

// age is the time since t; "" for none.
func age(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return max(0, time.Since(t.AsTime())).Round(time.Second).String()
}

func queueList(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "ls",
		Short:   "List the queues and what they hold",
		Example: "  argus queue ls",
		Args:    shell.NoArgsBut("argus queue describe %s"),
	}, Run: func(ctx context.Context, c *client.Client, _ []string) error { return listQueues(ctx, c) }}.Cobra(p)
}

func listQueues(ctx context.Context, c *client.Client) error {
	list, request := c.Out.NewList(queueHead...), &argusv1.ListQueuesRequest{}
	for {
		page, err := c.Admin.ListQueues(ctx, request)
		if err != nil {
			return err
		}
		for _, q := range page.GetQueues() {
			if err := list.Add(q, queueRow(q)...); err != nil {
				return err
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return list.End()
		}
	}
}

func queuePause(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "pause [QUEUE]",
		Short:   "Stop the delivery of a queue's tasks; publishing still works",
		Example: "  argus queue pause nightly",
		Args:    optionalQueue,
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		queue := firstArgument(args)
		response, err := c.Admin.PauseQueue(ctx, &argusv1.PauseQueueRequest{Queue: queue})
		if err != nil {
			return err
		}
		resume := "argus queue resume"
		if queue != "" {
			resume += " " + shell.Word(queue)
		}
		return c.Out.Print(response, []string{"paused; to resume: " + resume})
	}, TakesQueue: true}.Cobra(p)
}

func queueResume(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "resume [QUEUE]",
		Short:   "Resume the delivery of a paused queue's tasks",
		Example: "  argus queue resume nightly",
		Args:    optionalQueue,
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Admin.ResumeQueue(ctx, &argusv1.ResumeQueueRequest{Queue: firstArgument(args)})
		if err != nil {
			return err
		}
		return c.Out.Print(response, []string{"resumed"})
	}, TakesQueue: true}.Cobra(p)
}

func queuePurge(p *shell.Process) *cobra.Command {
	var yes bool
	return client.Command{Help: &cobra.Command{
		Use:   "purge [QUEUE]",
		Short: "Remove all tasks of a queue that no worker holds",
		Long: `Remove all tasks of a queue that no worker holds. Their jobs end as cancelled. Without
--yes it only counts the tasks.`,
		Example: "  argus queue purge nightly\n  argus queue purge nightly --yes",
		Args:    optionalQueue,
	}, Flags: func(flags *pflag.FlagSet) {
		flags.BoolVar(&yes, "yes", false, "remove them")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		return purgeQueue(ctx, c, firstArgument(args), yes)
	}, TakesQueue: true}.Cobra(p)
}

// purgeQueue purges a queue or, unless yes is given, only counts.
func purgeQueue(ctx context.Context, c *client.Client, queue string, yes bool) error {
	response, err := c.Admin.PurgeQueue(ctx, &argusv1.PurgeQueueRequest{Queue: queue, DryRun: !yes})
	if err != nil {
		return err
	}
	verb := "removed"
	if !yes {
		verb = "would remove"
	}
	text := fmt.Sprintf("%s %d waiting and %d delayed; %d stay, which workers have", verb, response.GetWaiting(), response.GetDelayed(), response.GetLeased())
	if err := c.Out.Print(response, []string{text}); err != nil || yes {
		return err
	}
	return shell.Exitf(shell.ExitUsage, "nothing was removed; --yes removes them")
}
