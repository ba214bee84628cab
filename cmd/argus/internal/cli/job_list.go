package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// jobPlaces has the values of job ls --state, and the places of tasks that they stand for; recent
// is every job that has a state.
var jobPlaces = map[string]argusv1.TaskPlace{
	"recent":  argusv1.TaskPlace_TASK_PLACE_UNSPECIFIED,
	"waiting": argusv1.TaskPlace_TASK_PLACE_WAITING,
	"leased":  argusv1.TaskPlace_TASK_PLACE_LEASED,
	"delayed": argusv1.TaskPlace_TASK_PLACE_DELAYED,
	"dead":    argusv1.TaskPlace_TASK_PLACE_DEAD,
}

// JobStates are the values of job ls --state.
var JobStates = []string{"recent", "waiting", "leased", "delayed", "dead"}

// jobFilter selects the jobs of a list: the flags of job ls.
type jobFilter struct {
	state, queue, group, pageToken string
	limit                          int // 0 for none
}

func jobList(p *shell.Process) *cobra.Command {
	var f jobFilter
	return client.Command{Help: &cobra.Command{
		Use:   "ls",
		Short: "List jobs: recent, waiting, leased, delayed or dead",
		Long: `List jobs by their state:
  recent    every job that has a state, with its status, in no order
  waiting   its task waits for a worker
  leased    a worker holds its task, or held it until the lease expired
  delayed   its task is not due yet
  dead      its task is a dead letter (argus dead ls says more)
All but recent are of one queue. When there are more than --limit, the command for the next
page is printed on the standard error.`,
		Example: `  argus job ls
  argus job ls --state waiting --queue nightly
  argus job ls --state leased --limit 1000 -o jsonl`,
		Args: shell.NoArgsBut("argus job ls --state %s"),
	}, Flags: f.declare, Run: func(ctx context.Context, c *client.Client, _ []string) error {
		if err := f.check(); err != nil {
			return shell.UsageError(err)
		}
		if f.state == "recent" {
			return listRecentJobs(ctx, c, f)
		}
		return listTasks(ctx, c, f)
	}}.Cobra(p)
}

func (f *jobFilter) declare(flags *pflag.FlagSet) {
	flags.StringVar(&f.state, "state", "recent", strings.Join(JobStates, ", "))
	flags.StringVar(&f.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&f.group, "group", "", "with waiting and leased: only of this consumer group")
	flags.IntVar(&f.limit, "limit", 100, "maximum number of jobs; 0 means all")
	flags.StringVar(&f.pageToken, "page-token", "", "continue a list where it stopped")
}

func (f *jobFilter) check() error {
	switch {
	case !slices.Contains(JobStates, f.state):
		return fmt.Errorf("--state: %q is not one of %s", f.state, strings.Join(JobStates, ", "))
	case f.limit < 0:
		return errors.New("--limit: must not be negative")
	case f.state == "recent" && f.queue+f.group != "":
		return errors.New("--queue, --group: go with --state waiting, leased, delayed or dead; a job's state is of no queue")
	}
	return nil
}

// pageSize is how many jobs to ask for after so many were listed.
func (f *jobFilter) pageSize(listed int) int32 {
	const most = 500
	if f.limit == 0 {
		return most
	}
	return int32(min(most, f.limit-listed))
}

// isFull reports whether the limit is reached.
func (f *jobFilter) isFull(listed int) bool { return f.limit > 0 && listed >= f.limit }

// nextPage is the command line that continues the list.
func (f *jobFilter) nextPage(token string) string {
	line := "argus job ls --state " + f.state
	if f.queue != "" {
		line += " --queue " + shell.Word(f.queue)
	}
	if f.group != "" {
		line += " --group " + shell.Word(f.group)
	}
	return line + " --page-token " + token
}

// eachJob calls visit once for each job that has a state, page by page, up to the limit. It returns
// the token of the next page; "" at the end.
func eachJob(ctx context.Context, c *client.Client, f jobFilter, visit func(*argusv1.JobSummary) error) (string, error) {
	seen := make(map[string]bool)
	request := &argusv1.ListRequest{PageToken: f.pageToken}
	for {
		request.PageSize = f.pageSize(len(seen))
		page, err := c.State.List(ctx, request)
		if err != nil {
			return "", err
		}
		for _, job := range page.GetJobs() {
			if seen[job.GetJobId()] {
				continue
			}
			seen[job.GetJobId()] = true
			if err := visit(job); err != nil {
				return "", err
			}
		}
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" || f.isFull(len(seen)) {
			return request.PageToken, nil
		}
	}
}

// listRecentJobs lists jobs that have a state.
func listRecentJobs(ctx context.Context, c *client.Client, f jobFilter) error {
	list := c.Out.NewList("STATUS", "JOB", "COMPLETED")
	token, err := eachJob(ctx, c, f, func(job *argusv1.JobSummary) error {
		return list.Add(job, output.StatusCell(job.GetStatus(), job.GetStatusText()), output.ID(job.GetJobId()), output.Clock(job.GetCompletedAt()))
	})
	if err != nil {
		return err
	}
	return endJobList(c, f, list, token)
}

// endJobList prints a list as a table, if it is one, and how to continue it.
func endJobList(c *client.Client, f jobFilter, list *output.List, token string) error {
	if err := list.End(); err != nil {
		return err
	}
	if token != "" {
		fmt.Fprintf(c.Stderr, "argus job ls: there are more; continue with: %s\n", f.nextPage(token))
	}
	return nil
}
