package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// pendingShown is how many leased tasks of each group are shown.
const pendingShown = 20

func queueDescribe(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:   "describe [QUEUE]",
		Short: "Show what a queue holds, its consumers and their tasks",
		Long: `Show what a queue holds, its consumer groups and consumers, and the tasks that they hold: the 20 oldest
of each group. Without a name it shows the server's default queue.`,
		Example: "  argus queue describe\n  argus queue describe nightly",
		Args:    optionalQueue,
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		return describeQueue(ctx, c, firstArgument(args))
	}, TakesQueue: true}.Cobra(p)
}

// describeQueue prints a queue and, in the table format, its groups, consumers and leased tasks.
func describeQueue(ctx context.Context, c *client.Client, name string) error {
	response, err := c.Admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: name})
	if err != nil {
		return err
	}
	queue := response.GetQueue()
	if err := c.Out.Print(queue, queueHead, queueRow(queue)); err != nil || !c.Out.IsTable() {
		return err
	}
	consumers, err := consumerRows(ctx, c, queue)
	if err != nil {
		return err
	}
	pending, err := pendingRows(ctx, c, queue)
	if err != nil {
		return err
	}
	for _, rows := range [][][]string{groupRows(queue.GetGroups()), consumers, pending} {
		if err := c.Out.Section(rows); err != nil {
			return err
		}
	}
	return nil
}

// consumerRows asks for the consumers of a queue.
func consumerRows(ctx context.Context, c *client.Client, queue *argusv1.Queue) ([][]string, error) {
	response, err := c.Admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: queue.GetName()})
	rows := [][]string{{"IN GROUP", "CONSUMER", "HAS", "LAST ASKED"}}
	for _, consumer := range response.GetConsumers() {
		rows = append(rows, []string{output.ID(consumer.GetGroup()), output.ID(consumer.GetName()), count(consumer.GetPending()),
			consumer.GetIdle().AsDuration().Round(time.Second).String() + " ago"})
	}
	return rows, err
}

// pendingRows asks for the oldest leased tasks of each group.
func pendingRows(ctx context.Context, c *client.Client, queue *argusv1.Queue) ([][]string, error) {
	rows := [][]string{{"JOB", "MESSAGE", "CONSUMER", "ATTEMPT", "LEASED UNTIL"}}
	for _, group := range queue.GetGroups() {
		request := &argusv1.ListPendingRequest{Queue: queue.GetName(), Group: group.GetName(), PageSize: pendingShown}
		response, err := c.Admin.ListPending(ctx, request)
		if err != nil {
			return nil, err
		}
		for _, t := range response.GetTasks() {
			rows = append(rows, []string{output.ID(t.GetJobId()), t.GetMessageId(), output.ID(t.GetConsumer()), count(t.GetAttempts()), leasedUntil(t)})
		}
	}
	return rows, nil
}
