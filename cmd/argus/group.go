package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func (p *program) groupCommands() *cobra.Command {
	return group("group", "Look after consumer groups", `  argus group ls nightly
  argus group create archive --queue nightly
  argus group rm archive --queue nightly`,
		p.groupList(), p.groupCreate(), p.groupRemove())
}

// groupRows are the groups of a queue as a table.
func groupRows(groups []*argusv1.ConsumerGroup) [][]string {
	rows := [][]string{{"GROUP", "WAITING", "LEASED", "CONSUMERS", "LAST ASKED"}}
	for _, g := range groups {
		asked := "never"
		if g.GetIdle() != nil {
			asked = g.GetIdle().AsDuration().Round(time.Second).String() + " ago"
		}
		if g.GetUnread() {
			asked += " (unread: it keeps its tasks in the queue)"
		}
		rows = append(rows, []string{g.GetName(), strconv.FormatInt(g.GetWaiting(), 10), strconv.FormatInt(g.GetPending(), 10),
			strconv.Itoa(int(g.GetConsumers())), asked})
	}
	return rows
}

func (p *program) groupList() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "ls [QUEUE]",
		Short:   "List the consumer groups of a queue",
		Long:    "List the consumer groups of a queue. Without a name it is the server's default queue.",
		Example: "  argus group ls\n  argus group ls nightly",
		Args:    optionalQueue,
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: first(args)})
		if err != nil {
			return err
		}
		groups := response.GetQueue().GetGroups()
		if c.Output == "table" {
			return c.table(groupRows(groups)...)
		}
		for _, g := range groups {
			if err := c.print(g); err != nil {
				return err
			}
		}
		return nil
	})
	c.connection()
	return command
}

func (p *program) groupCreate() *cobra.Command {
	var queue string
	command, c := p.command(&cobra.Command{
		Use:   "create GROUP",
		Short: "Create a consumer group",
		Long: `Create a consumer group of a queue, and the queue where it is missing. The group gets what
the queue holds now and what is published from now on. Tasks stay in the queue until all
its groups have settled them, so create a group only if workers will read with it.`,
		Example: "  argus group create archive --queue nightly",
		Args:    exactly(1, "one group"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.CreateGroup(ctx, &argusv1.CreateGroupRequest{Queue: queue, Group: args[0]})
		if err != nil {
			return err
		}
		text := "created"
		if !response.GetCreated() {
			text = "it was there already"
		}
		return c.print(response, []string{text})
	})
	command.Flags().StringVar(&queue, "queue", "", "the queue; empty means the server's default")
	c.connection()
	return command
}

func (p *program) groupRemove() *cobra.Command {
	var queue string
	var force bool
	command, c := p.command(&cobra.Command{
		Use:   "rm GROUP",
		Short: "Delete a consumer group",
		Long: `Delete a consumer group of a queue. Tasks that only this group had still to settle are
removed. Groups of the server's settings can't be deleted.`,
		Example: "  argus group rm archive --queue nightly",
		Args:    exactly(1, "one group"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.DeleteGroup(ctx, &argusv1.DeleteGroupRequest{Queue: queue, Group: args[0], Force: force})
		if err != nil {
			return err
		}
		return c.print(response, []string{fmt.Sprintf("deleted group %s", args[0])})
	})
	command.Flags().StringVar(&queue, "queue", "", "the queue; empty means the server's default")
	command.Flags().BoolVar(&force, "force", false, "delete it although workers hold tasks of it; they lose their leases")
	c.connection()
	return command
}
