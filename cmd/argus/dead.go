package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func (p *program) deadCommands() *cobra.Command {
	return group("dead", "Look after dead letters: tasks that were given up", `  argus dead ls
  argus dead redrive --all`,
		p.deadList(), p.deadRedrive(), p.deadRemove())
}

func (p *program) deadList() *cobra.Command {
	var queue string
	command, c := p.command(&cobra.Command{
		Use:     "ls",
		Short:   "List a queue's dead letters, oldest first",
		Example: "  argus dead ls\n  argus dead ls --queue nightly -o jsonl",
		Args:    noArgsBut("argus dead ls --queue %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		rows := [][]string{{"ID", "JOB", "CAUSE", "ATTEMPTS", "DIED", "REASON"}}
		request := &argusv1.ListDeadLettersRequest{Queue: queue}
		for {
			page, err := c.admin.ListDeadLetters(ctx, request)
			if err != nil {
				return err
			}
			for _, d := range page.GetDeadLetters() {
				rows = append(rows, []string{d.GetId(), idText(d.GetInfo().GetJobId()), d.GetInfo().GetCause(),
					strconv.Itoa(int(d.GetInfo().GetAttempts())), clock(d.GetDeathTime()), oneLine(d.GetInfo().GetReason())})
				if c.Output == "table" {
					continue
				}
				if err := c.print(d); err != nil {
					return err
				}
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				break
			}
		}
		if c.Output != "table" {
			return nil
		}
		return c.table(rows...)
	})
	command.Flags().StringVar(&queue, "queue", "", "queue; empty means the server's default")
	c.connection()
	return command
}

func (p *program) deadRedrive() *cobra.Command {
	return p.chosenLetters(&cobra.Command{
		Use:   "redrive [ID...]",
		Short: "Put dead letters back into their queue",
		Long: `Put dead letters back into their queue, as tasks that were never tried. The failures that
their deaths recorded are withdrawn: their jobs are pending again.`,
		Example: "  argus dead redrive 1767323045000-0\n  argus dead redrive --all --queue nightly",
	}, "put back", func(ctx context.Context, c *client, queue string, ids []string, all bool) (proto.Message, int32, error) {
		response, err := c.admin.RedriveDeadLetters(ctx, &argusv1.RedriveDeadLettersRequest{Queue: queue, Ids: ids, All: all})
		return response, response.GetRedriven(), err
	})
}

func (p *program) deadRemove() *cobra.Command {
	return p.chosenLetters(&cobra.Command{
		Use:     "rm [ID...]",
		Short:   "Remove dead letters; their jobs stay failed",
		Example: "  argus dead rm 1767323045000-0\n  argus dead rm --all --queue nightly",
	}, "removed", func(ctx context.Context, c *client, queue string, ids []string, all bool) (proto.Message, int32, error) {
		response, err := c.admin.DeleteDeadLetters(ctx, &argusv1.DeleteDeadLettersRequest{Queue: queue, Ids: ids, All: all})
		return response, response.GetDeleted(), err
	})
}

// chosenLetters is a command that does something with dead letters: those that are named,
// or all. done says what was done with the ones that do counted.
func (p *program) chosenLetters(command *cobra.Command, done string,
	do func(ctx context.Context, c *client, queue string, ids []string, all bool) (proto.Message, int32, error)) *cobra.Command {
	var queue string
	var all bool
	command, c := p.command(command, func(ctx context.Context, c *client, ids []string) error {
		if all == (len(ids) > 0) {
			return usageError(errors.New("want ids of dead letters, or --all"))
		}
		ids = slices.Compact(slices.Sorted(slices.Values(ids)))
		response, n, err := do(ctx, c, queue, ids, all)
		if err != nil {
			return err
		}
		if err := c.print(response, []string{fmt.Sprintf("%d %s", n, done)}); err != nil {
			return err
		}
		if missing := len(ids) - int(n); missing > 0 {
			return codedError{code: exitNotFound, err: fmt.Errorf("%d of %d were not there, or are no tasks", missing, len(ids))}
		}
		return nil
	})
	command.Flags().StringVar(&queue, "queue", "", "queue; empty means the server's default")
	command.Flags().BoolVar(&all, "all", false, "all that are there now")
	c.connection()
	return command
}
