package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func (p *program) jobCommands() *cobra.Command {
	return group("job", "List, find and cancel jobs", `  argus job ls --state waiting
  argus job show demo-1
  argus job cancel demo-1 --reason "not needed any more"`,
		p.jobList(), p.jobShow(), p.jobCancel())
}

func (p *program) jobShow() *cobra.Command {
	command, c := p.command(&cobra.Command{
		Use:     "show JOB",
		Short:   "Show where a job is, and why",
		Example: "  argus job show demo-1",
		Args:    exactly(1, "one job"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.admin.GetJob(ctx, &argusv1.GetJobRequest{JobId: args[0]})
		if err != nil {
			return err
		}
		return c.print(response, jobRows(response)...)
	})
	c.connection()
	return command
}

// jobRows tells what is known of a job.
func jobRows(r *argusv1.GetJobResponse) [][]string {
	rows := [][]string{{"job", idText(r.GetJobId())}}
	add := func(name, value string) {
		if value != "" && value != "0" {
			rows = append(rows, []string{name, value})
		}
	}
	if r.GetStatusText() != "" {
		add("status", statusCell(r.GetStatus(), r.GetStatusText()))
	}
	if result := r.GetResult(); result != nil {
		add("result", fmt.Sprintf("%s at %s  %s", statusWord(result.GetStatus(), result.GetStatusText()), clock(result.GetCompletedAt()), joined(result.GetFields())))
	}
	if r.GetCancelRequested() {
		add("cancel", "was asked for")
	}
	t := r.GetTask()
	if t == nil {
		add("task", "none in any queue")
		return rows
	}
	add("task", strings.ToLower(strings.TrimPrefix(t.GetPlace().String(), "TASK_PLACE_"))+" in "+idText(t.GetQueue()))
	add("message", t.GetMessageId())
	add("published", clock(t.GetPublishTime()))
	add("due", clock(t.GetDueTime()))
	if t.GetConsumer() != "" {
		until := "until "
		if t.GetPlace() != argusv1.TaskPlace_TASK_PLACE_LEASED {
			until = "ran out "
		}
		add("lease", fmt.Sprintf("of %s in %s, %s%s", idText(t.GetConsumer()), idText(t.GetGroup()), until, clock(t.GetLeaseExpireTime())))
	}
	add("attempts", fmt.Sprint(t.GetAttempts()))
	add("failures", fmt.Sprint(t.GetFailures()))
	add("cause", t.GetCause())
	add("reason", oneLine(t.GetReason()))
	return rows
}

func (p *program) jobCancel() *cobra.Command {
	var reason string
	command, c := p.command(&cobra.Command{
		Use:   "cancel JOB",
		Short: "Cancel a job",
		Long: `Cancel a job. If no worker has it, it ends as cancelled at once. If one has, it is asked to
stop, and what it reports is the result. A job that has its result keeps it.`,
		Example: `  argus job cancel demo-1 --reason "not needed any more"`,
		Args:    exactly(1, "one job"),
	}, func(ctx context.Context, c *client, args []string) error {
		response, err := c.queue.Cancel(ctx, &argusv1.CancelRequest{JobId: args[0], Reason: reason})
		if err != nil {
			return err
		}
		text := "it had its result already: " + statusWord(response.GetWas(), "")
		switch response.GetWas() {
		case argusv1.JobStatus_JOB_STATUS_PENDING:
			text = "cancelled"
		case argusv1.JobStatus_JOB_STATUS_RUNNING:
			text = "its worker is asked to stop"
		}
		return c.print(response, []string{text})
	})
	command.Flags().StringVar(&reason, "reason", "", "why; kept in the job's state")
	c.connection()
	return command
}
