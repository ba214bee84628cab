package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// group is a command that is nothing by itself.
func group(use, short, example string, commands ...*cobra.Command) *cobra.Command {
	command := &cobra.Command{Use: use, Short: short, Example: example, RunE: needsCommand}
	command.AddCommand(commands...)
	return command
}

func (p *program) queueCommands() *cobra.Command {
	return group("queue", "Look after queues", `  argus queue ls
  argus queue describe nightly
  argus queue pause nightly`,
		p.queueList(), p.queueDescribe(), p.queuePause(), p.queueResume(), p.queuePurge())
}

// optionalQueue is the argument of commands for one queue.
func optionalQueue(_ *cobra.Command, args []string) error {
	if len(args) > 1 {
		return usageError(fmt.Errorf("want one queue at most, got %d arguments", len(args)))
	}
	return nil
}

// first is the first argument, "" when there is none: the default queue.
func first(args []string) string {
	if len(args) == 0 {
		return ""
	}
	return args[0]
}

// queueArgument is a queue as an argument of a command line, "" for the default queue.
func queueArgument(queue string) string {
	if queue == "" {
		return ""
	}
	return " " + shellWord(queue)
}

var queueHeads = []string{"QUEUE", "WAITING", "LEASED", "DELAYED", "DEAD", "OLDEST", "PAUSED SINCE"}

func queueRow(q *argusv1.Queue) []string {
	count := func(n int64) string { return strconv.FormatInt(n, 10) }
	return []string{idText(q.GetName()), count(q.GetWaiting()), count(q.GetLeased()), count(q.GetDelayed()), count(q.GetDead()),
		age(q.GetOldestPublishTime()), clock(q.GetPauseTime())}
}

// age is how long ago a time was.
func age(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return max(0, time.Since(t.AsTime())).Round(time.Second).String()
}

func (p *program) queueList() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "ls",
		Short:   "List the queues and what they hold",
		Example: "  argus queue ls",
		Args:    noArgsBut("argus queue describe %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		rows, request := [][]string{queueHeads}, &argusv1.ListQueuesRequest{}
		for {
			response, err := c.admin.ListQueues(ctx, request)
			if err != nil {
				return err
			}
			for _, q := range response.GetQueues() {
				if c.Output == "table" {
					rows = append(rows, queueRow(q))
				} else if err := c.print(q); err != nil {
					return err
				}
			}
			if request.PageToken = response.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if c.Output != "table" {
			return nil
		}
		return c.table(rows...)
	})
	c.connection()
	return command
}

func (p *program) queueDescribe() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:   "describe [QUEUE]",
		Short: "Show what a queue holds, who works on it, and what on",
		Long: `Show what a queue holds, its consumer groups and consumers, and what they have: the 20 tasks that have been
there longest in each group. Without a name it is the server's default queue.`,
		Example: "  argus queue describe\n  argus queue describe nightly",
		Args:    optionalQueue,
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: first(args)})
		if err != nil {
			return err
		}
		q := response.GetQueue()
		if err := c.print(q, queueHeads, queueRow(q)); err != nil || c.Output != "table" {
			return err
		}
		if err := c.section(groupRows(q.GetGroups())); err != nil {
			return err
		}
		consumers, err := c.admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: q.GetName()})
		if err != nil {
			return err
		}
		rows := [][]string{{"IN GROUP", "CONSUMER", "HAS", "LAST ASKED"}}
		for _, consumer := range consumers.GetConsumers() {
			rows = append(rows, []string{idText(consumer.GetGroup()), idText(consumer.GetName()), strconv.FormatInt(consumer.GetPending(), 10),
				consumer.GetIdle().AsDuration().Round(time.Second).String() + " ago"})
		}
		if err := c.section(rows); err != nil {
			return err
		}
		rows = [][]string{{"JOB", "MESSAGE", "CONSUMER", "ATTEMPT", "LEASED UNTIL"}}
		for _, group := range q.GetGroups() {
			pending, err := c.admin.ListPending(ctx, &argusv1.ListPendingRequest{Queue: q.GetName(), Group: group.GetName(), PageSize: 20})
			if err != nil {
				return err
			}
			for _, t := range pending.GetTasks() {
				until := clock(t.GetLeaseExpireTime())
				if t.GetPlace() == argusv1.TaskPlace_TASK_PLACE_WAITING {
					until += " (ran out)"
				}
				rows = append(rows, []string{idText(t.GetJobId()), t.GetMessageId(), idText(t.GetConsumer()), strconv.Itoa(int(t.GetAttempts())), until})
			}
		}
		return c.section(rows)
	})
	c.connection()
	c.completeQueues(command, true)
	return command
}

// section prints a table below another, if it has more than its head.
func (c *client) section(rows [][]string) error {
	if len(rows) < 2 {
		return nil
	}
	if _, err := fmt.Fprintln(c.stdout); err != nil {
		return err
	}
	return c.table(rows...)
}

func (p *program) queuePause() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "pause [QUEUE]",
		Short:   "Stop the delivery of a queue's tasks; they can still be published",
		Example: "  argus queue pause nightly",
		Args:    optionalQueue,
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.PauseQueue(ctx, &argusv1.PauseQueueRequest{Queue: first(args)})
		if err != nil {
			return err
		}
		return c.print(response, []string{"paused; to go on: argus queue resume" + queueArgument(first(args))})
	})
	c.connection()
	c.completeQueues(command, true)
	return command
}

func (p *program) queueResume() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "resume [QUEUE]",
		Short:   "End a queue's pause",
		Example: "  argus queue resume nightly",
		Args:    optionalQueue,
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.ResumeQueue(ctx, &argusv1.ResumeQueueRequest{Queue: first(args)})
		if err != nil {
			return err
		}
		return c.print(response, []string{"resumed"})
	})
	c.connection()
	c.completeQueues(command, true)
	return command
}

func (p *program) queuePurge() *cobra.Command {
	var yes bool
	command, c := p.command(&cobra.Command{
		Use:   "purge [QUEUE]",
		Short: "Remove all tasks of a queue that no worker has",
		Long: `Remove all tasks of a queue that no worker has. Their jobs end as cancelled. Without --yes
it only counts.`,
		Example: "  argus queue purge nightly\n  argus queue purge nightly --yes",
		Args:    optionalQueue,
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.PurgeQueue(ctx, &argusv1.PurgeQueueRequest{Queue: first(args), DryRun: !yes})
		if err != nil {
			return err
		}
		text := fmt.Sprintf("%d waiting and %d delayed", response.GetWaiting(), response.GetDelayed())
		verb := "removed "
		if !yes {
			verb = "would remove "
		}
		if err := c.print(response, []string{fmt.Sprintf("%s%s; %d stay, which workers have", verb, text, response.GetLeased())}); err != nil || yes {
			return err
		}
		return codedError{code: exitUsage, err: fmt.Errorf("nothing was removed; --yes removes them")}
	})
	command.Flags().BoolVar(&yes, "yes", false, "remove them")
	c.connection()
	c.completeQueues(command, true)
	return command
}
