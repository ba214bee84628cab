package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func groupCommands(p *shell.Process) *cobra.Command {
	return shell.Group("group", "List, create and delete consumer groups", `  argus group ls nightly
  argus group create archive --queue nightly
  argus group rm archive --queue nightly`,
		groupList(p), groupCreate(p), groupRemove(p))
}

var groupHead = []string{"GROUP", "WAITING", "LEASED", "CONSUMERS", "LAST ASKED"}

func groupRow(g *argusv1.ConsumerGroup) []string {
	asked := "never"
	if g.GetIdle() != nil {
		asked = g.GetIdle().AsDuration().Round(time.Second).String() + " ago"
	}
	if g.GetUnread() {
		asked += " (unread: it keeps its tasks in the queue)"
	}
	return []string{g.GetName(), count(g.GetWaiting()), count(g.GetPending()), count(g.GetConsumers()), asked}
}

// groupRows are the groups of a queue as a table.
func groupRows(groups []*argusv1.ConsumerGroup) [][]string {
	rows := [][]string{groupHead}
	for _, g := range groups {
		rows = append(rows, groupRow(g))
	}
	return rows
}

func groupList(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "ls [QUEUE]",
		Short:   "List the consumer groups of a queue",
		Long:    "List the consumer groups of a queue. Without a name it is the server's default queue.",
		Example: "  argus group ls\n  argus group ls nightly",
		Args:    optionalQueue,
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: firstArgument(args)})
		if err != nil {
			return err
		}
		list := c.Out.NewList(groupHead...)
		for _, g := range response.GetQueue().GetGroups() {
			if err := list.Add(g, groupRow(g)...); err != nil {
				return err
			}
		}
		return list.End()
	}}.Cobra(p)
}

func groupCreate(p *shell.Process) *cobra.Command {
	var queue string
	return client.Command{Help: &cobra.Command{
		Use:   "create GROUP",
		Short: "Create a consumer group",
		Long: `Create a consumer group of a queue, and the queue if it is missing. The group gets the tasks
that the queue holds now and those published from now on. Tasks stay in the queue until all
its groups have settled them, so create a group only if workers will read with it.`,
		Example: "  argus group create archive --queue nightly",
		Args:    shell.Exactly(1, "one group"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&queue, "queue", "", "the queue; empty means the server's default")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Admin.CreateGroup(ctx, &argusv1.CreateGroupRequest{Queue: queue, Group: args[0]})
		if err != nil {
			return err
		}
		text := "created"
		if !response.GetCreated() {
			text = "it exists already"
		}
		return c.Out.Print(response, []string{text})
	}}.Cobra(p)
}

func groupRemove(p *shell.Process) *cobra.Command {
	var queue string
	var force bool
	return client.Command{Help: &cobra.Command{
		Use:   "rm GROUP",
		Short: "Delete a consumer group",
		Long: `Delete a consumer group of a queue. Tasks that only this group has not settled yet are
removed. Groups of the server's settings can't be deleted.`,
		Example: "  argus group rm archive --queue nightly",
		Args:    shell.Exactly(1, "one group"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&queue, "queue", "", "the queue; empty means the server's default")
		flags.BoolVar(&force, "force", false, "delete it although workers hold tasks of it; they lose their leases")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Admin.DeleteGroup(ctx, &argusv1.DeleteGroupRequest{Queue: queue, Group: args[0], Force: force})
		if err != nil {
			return err
		}
		return c.Out.Print(response, []string{"deleted group " + args[0]})
	}}.Cobra(p)
}
