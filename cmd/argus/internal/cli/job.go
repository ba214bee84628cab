package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func jobCommands(p *shell.Process) *cobra.Command {
	return shell.Group("job", "List, find and cancel jobs", `  argus job ls --state waiting
  argus job show demo-1
  argus job cancel demo-1 --reason "not needed any more"`,
		jobList(p), jobShow(p), jobCancel(p))
}

func jobShow(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "show JOB",
		Short:   "Show where a job is, and why",
		Example: "  argus job show demo-1",
		Args:    shell.Exactly(1, "one job"),
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Admin.GetJob(ctx, &argusv1.GetJobRequest{JobId: args[0]})
		if err != nil {
			return err
		}
		return c.Out.Print(response, jobRows(response)...)
	}}.Cobra(p)
}

// details are the rows of a table with a name and a value; empty values and zeros are left out.
type details [][]string

func (d *details) add(name, value string) {
	if value != "" && value != "0" {
		*d = append(*d, []string{name, value})
	}
}

// jobRows shows a job: its status, its result and its task.
func jobRows(r *argusv1.GetJobResponse) [][]string {
	rows := details{{"job", output.ID(r.GetJobId())}}
	if r.GetStatusText() != "" {
		rows.add("status", output.StatusCell(r.GetStatus(), r.GetStatusText()))
	}
	if result := r.GetResult(); result != nil {
		rows.add("result", fmt.Sprintf("%s at %s  %s", output.Status(result.GetStatus(), result.GetStatusText()),
			output.Clock(result.GetCompletedAt()), output.Fields(result.GetFields())))
	}
	if r.GetCancelRequested() {
		rows.add("cancel", "requested")
	}
	if r.GetTask() == nil {
		rows.add("task", "none in any queue")
		return rows
	}
	rows.addTask(r.GetTask())
	return rows
}

func (d *details) addTask(t *argusv1.TaskInfo) {
	d.add("task", strings.ToLower(strings.TrimPrefix(t.GetPlace().String(), "TASK_PLACE_"))+" in "+output.ID(t.GetQueue()))
	d.add("message", t.GetMessageId())
	d.add("published", output.Clock(t.GetPublishTime()))
	d.add("due", output.Clock(t.GetDueTime()))
	if t.GetConsumer() != "" {
		until := "until"
		if t.GetPlace() != argusv1.TaskPlace_TASK_PLACE_LEASED {
			until = "expired"
		}
		d.add("lease", fmt.Sprintf("of %s in %s, %s %s", output.ID(t.GetConsumer()), output.ID(t.GetGroup()), until, output.Clock(t.GetLeaseExpireTime())))
	}
	d.add("attempts", count(t.GetAttempts()))
	d.add("failures", count(t.GetFailures()))
	d.add("cause", t.GetCause())
	d.add("reason", output.OneLine(t.GetReason()))
}

func jobCancel(p *shell.Process) *cobra.Command {
	var reason string
	return client.Command{Help: &cobra.Command{
		Use:   "cancel JOB",
		Short: "Cancel a job",
		Long: `Cancel a job. If no worker holds its task, it ends as cancelled at once. Otherwise the worker
is asked to stop, and its report is the result. A job that has a result keeps it.`,
		Example: `  argus job cancel demo-1 --reason "not needed any more"`,
		Args:    shell.Exactly(1, "one job"),
	}, Flags: func(flags *pflag.FlagSet) {
		flags.StringVar(&reason, "reason", "", "why; kept in the job's state")
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.Queue.Cancel(ctx, &argusv1.CancelRequest{JobId: args[0], Reason: reason})
		if err != nil {
			return err
		}
		return c.Out.Print(response, []string{cancelOutcome(response.GetWas())})
	}}.Cobra(p)
}

// cancelOutcome is what a cancel did to a job that had a status.
func cancelOutcome(was argusv1.JobStatus) string {
	switch was {
	case argusv1.JobStatus_JOB_STATUS_PENDING:
		return "cancelled"
	case argusv1.JobStatus_JOB_STATUS_RUNNING:
		return "its worker is asked to stop"
	}
	return "it had its result already: " + output.Status(was, "")
}
