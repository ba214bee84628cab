package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"google.golang.org/protobuf/proto"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func deadCommands(p *shell.Process) *cobra.Command {
	return shell.Group("dead", "List, redrive and remove dead letters: tasks that the queue gave up", `  argus dead ls
  argus dead redrive --all`,
		deadList(p), deadRedrive(p), deadRemove(p))
}

func deadList(p *shell.Process) *cobra.Command {
	var queue string
	return client.Command{Help: &cobra.Command{
		Use:     "ls",
		Short:   "List a queue's dead letters, oldest first",
		Example: "  argus dead ls\n  argus dead ls --queue nightly -o jsonl",
		Args:    shell.NoArgsBut("argus dead ls --queue %s"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&queue, "queue", "", "queue; empty means the server's default")
	}, Run: func(ctx context.Context, c *client.Client, _ []string) error {
		return listDeadLetters(ctx, c, queue)
	}}.Cobra(p)
}

func listDeadLetters(ctx context.Context, c *client.Client, queue string) error {
	list := c.Out.NewList("ID", "JOB", "CAUSE", "ATTEMPTS", "DIED", "REASON")
	request := &argusv1.ListDeadLettersRequest{Queue: queue}
	for {
		page, err := c.Admin.ListDeadLetters(ctx, request)
		if err != nil {
			return err
		}
		for _, d := range page.GetDeadLetters() {
			if err := list.Add(d, deadLetterRow(d)...); err != nil {
				return err
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return list.End()
		}
	}
}

func deadLetterRow(d *argusv1.DeadLetter) []string {
	task := d.GetInfo()
	return []string{d.GetId(), output.ID(task.GetJobId()), task.GetCause(), count(task.GetAttempts()),
		output.Clock(d.GetDeathTime()), output.OneLine(task.GetReason())}
}

func deadRedrive(p *shell.Process) *cobra.Command {
	return deadLetterAction{
		help: &cobra.Command{
			Use:   "redrive [ID...]",
			Short: "Put dead letters back into their queue",
			Long: `Put dead letters back into their queue, as tasks without attempts. The failures that they
recorded are withdrawn: their jobs are pending again.`,
			Example: "  argus dead redrive 1767323045000-0\n  argus dead redrive --all --queue nightly",
		},
		outcome: "put back",
		do: func(ctx context.Context, c *client.Client, l letters) (proto.Message, int32, error) {
			response, err := c.Admin.RedriveDeadLetters(ctx, &argusv1.RedriveDeadLettersRequest{Queue: l.queue, Ids: l.ids, All: l.all})
			return response, response.GetRedriven(), err
		},
	}.command(p)
}

func deadRemove(p *shell.Process) *cobra.Command {
	return deadLetterAction{
		help: &cobra.Command{
			Use:     "rm [ID...]",
			Short:   "Remove dead letters; their jobs stay failed",
			Example: "  argus dead rm 1767323045000-0\n  argus dead rm --all --queue nightly",
		},
		outcome: "removed",
		do: func(ctx context.Context, c *client.Client, l letters) (proto.Message, int32, error) {
			response, err := c.Admin.DeleteDeadLetters(ctx, &argusv1.DeleteDeadLettersRequest{Queue: l.queue, Ids: l.ids, All: l.all})
			return response, response.GetDeleted(), err
		},
	}.command(p)
}

// letters selects dead letters of a queue: by id, or all of them.
type letters struct {
	queue string
	ids   []string
	all   bool
}

// deadLetterAction is a command that changes the selected dead letters. do returns how many it
// changed; outcome says what it did.
type deadLetterAction struct {
	help    *cobra.Command
	outcome string
	do      func(context.Context, *client.Client, letters) (proto.Message, int32, error)
}

func (a deadLetterAction) command(p *shell.Process) *cobra.Command {
	var l letters
	return client.Command{Help: a.help, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&l.queue, "queue", "", "queue; empty means the server's default")
		flags.BoolVar(&l.all, "all", false, "all that are there now")
	}, Run: func(ctx context.Context, c *client.Client, ids []string) error {
		if l.all == (len(ids) > 0) {
			return shell.Usagef("want ids of dead letters, or --all")
		}
		l.ids = slices.Compact(slices.Sorted(slices.Values(ids)))
		return a.run(ctx, c, l)
	}}.Cobra(p)
}

func (a deadLetterAction) run(ctx context.Context, c *client.Client, l letters) error {
	response, n, err := a.do(ctx, c, l)
	if err != nil {
		return err
	}
	if err := c.Out.Print(response, []string{count(n) + " " + a.outcome}); err != nil {
		return err
	}
	if missing := len(l.ids) - int(n); missing > 0 {
		return shell.Exitf(shell.ExitNotFound, "%d of %d were not there, or are no tasks", missing, len(l.ids))
	}
	return nil
}
