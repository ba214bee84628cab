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

func readCommand(p *shell.Process) *cobra.Command {
	request := &argusv1.ReadRequest{}
	var wait time.Duration
	return client.Command{Help: &cobra.Command{
		Use:   "read",
		Short: "Lease tasks, and print them with their lease tokens",
		Long: `Lease tasks, and print them. This consumer holds each until its lease expires; settle it
with complete, ack or nack, or renew its lease with extend. An empty queue is no error.`,
		Example: `  argus read --consumer worker-1
  argus read --consumer worker-1 --max 10 --wait 30s -o jsonl
  argus read --consumer worker-1 --own-pending`,
		Args: shell.NoArgsBut("argus read --queue %s"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&request.Queue, "queue", "", "queue; empty means the server's default")
		flags.StringVar(&request.Group, "group", "", "consumer group; empty means the server's default")
		flags.StringVar(&request.Consumer, "consumer", DefaultConsumer(), "this worker's name")
		flags.Int32Var(&request.MaxTasks, "max", 1, "maximum number of tasks")
		flags.DurationVar(&wait, "wait", 5*time.Second, "how long to wait for a task")
		flags.BoolVar(&request.OwnPending, "own-pending", false, "the tasks that this consumer holds already, instead of new ones")
	}, Run: func(ctx context.Context, c *client.Client, _ []string) error {
		request.Wait = durationpb.New(wait)
		return readTasks(ctx, c, request)
	}}.Cobra(p)
}

func readTasks(ctx context.Context, c *client.Client, request *argusv1.ReadRequest) error {
	response, err := c.Queue.Read(ctx, request)
	if err != nil {
		return err
	}
	list := c.Out.NewList("JOB", "ATTEMPT", "LEASED UNTIL", "SCANNERS", "TOKEN")
	for _, d := range response.GetDeliveries() {
		if err := list.Add(d, deliveryRow(d)...); err != nil {
			return err
		}
	}
	return list.End()
}

func deliveryRow(d *argusv1.Delivery) []string {
	return []string{output.ID(d.GetTask().GetJobId()), count(d.GetDeliveryAttempt()), output.Clock(d.GetLeaseExpireTime()),
		strings.Join(d.GetTask().GetScanners(), ","), d.GetLeaseToken()}
}
