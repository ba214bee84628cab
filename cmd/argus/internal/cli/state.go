package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

func stateCommands(p *shell.Process) *cobra.Command {
	return shell.Group("state", "Read and write the state of jobs", `  argus state get demo-1
  argus state set demo-1 status=running progress=50
  argus state ls`,
		stateInit(p), stateGet(p), stateSet(p), stateSetJSON(p), stateRemove(p), stateList(p))
}

func stateGet(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:   "get JOB [FIELD...]",
		Short: "Print a job's state, or some fields of it",
		Example: `  argus state get demo-1
  argus state get demo-1 status findings -o json`,
		Args: shell.AtLeast(1, "a job"),
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		job, fields := args[0], args[1:]
		response, err := c.State.GetAll(ctx, &argusv1.GetAllRequest{JobId: job, Fields: fields})
		if err != nil {
			return err
		}
		rows := output.FieldRows(response.GetFields())
		for name, value := range response.GetBinaryFields() {
			rows = append(rows, []string{name, fmt.Sprintf("%q", value)})
		}
		if err := c.Out.Print(response, rows...); err != nil {
			return err
		}
		return missingFields(job, fields, response)
	}}.Cobra(p)
}

// missingFields is the error of fields that a state lacks.
func missingFields(job string, asked []string, r *argusv1.GetAllResponse) error {
	var missing []string
	for _, name := range asked {
		_, isText := r.GetFields()[name]
		_, isBinary := r.GetBinaryFields()[name]
		if !isText && !isBinary {
			missing = append(missing, strconv.Quote(name))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return shell.Exitf(shell.ExitNotFound, "the state of the job %s has no field %s (FIELD_NOT_FOUND)", output.ID(job), strings.Join(missing, ", "))
}

func stateRemove(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "rm JOB",
		Short:   "Remove a job's state",
		Example: "  argus state rm demo-1",
		Args:    shell.Exactly(1, "one job"),
	}, Run: func(ctx context.Context, c *client.Client, args []string) error {
		response, err := c.State.Delete(ctx, &argusv1.DeleteRequest{JobId: args[0]})
		if err != nil {
			return err
		}
		if !response.GetDeleted() {
			return shell.Exitf(shell.ExitNotFound, "no state is known of the job %s (JOB_NOT_FOUND)", output.ID(args[0]))
		}
		return c.Out.Print(response)
	}}.Cobra(p)
}

func stateList(p *shell.Process) *cobra.Command {
	return client.Command{Help: &cobra.Command{
		Use:     "ls",
		Short:   "List the jobs that have a state",
		Example: "  argus state ls -o jsonl",
		Args:    shell.NoArgsBut("argus state get %s"),
	}, Run: func(ctx context.Context, c *client.Client, _ []string) error { return listStates(ctx, c) }}.Cobra(p)
}

// listStates prints each job as it arrives, also in a table: there may be millions. Its columns
// therefore have a fixed width.
func listStates(ctx context.Context, c *client.Client) error {
	if c.Out.IsTable() {
		if err := c.Out.Table([]string{fmt.Sprintf("%-9s", "STATUS"), "JOB"}); err != nil {
			return err
		}
	}
	_, err := eachJob(ctx, c, jobFilter{}, func(job *argusv1.JobSummary) error {
		// StatusCell has a mark, which is not printed, in front of the status.
		return c.Out.Print(job, []string{fmt.Sprintf("%-10s", output.StatusCell(job.GetStatus(), job.GetStatusText())), output.ID(job.GetJobId())})
	})
	return err
}
