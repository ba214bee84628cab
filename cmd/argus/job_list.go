package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// jobPlaces are the values of job ls --state, with the places of tasks that they stand for;
// recent is every job that has a state.
var jobPlaces = map[string]argusv1.TaskPlace{
	"recent":  argusv1.TaskPlace_TASK_PLACE_UNSPECIFIED,
	"waiting": argusv1.TaskPlace_TASK_PLACE_WAITING,
	"leased":  argusv1.TaskPlace_TASK_PLACE_LEASED,
	"delayed": argusv1.TaskPlace_TASK_PLACE_DELAYED,
	"dead":    argusv1.TaskPlace_TASK_PLACE_DEAD,
}

var jobPlaceWords = []string{"recent", "waiting", "leased", "delayed", "dead"}

// jobListFlags are the flags of job ls.
type jobListFlags struct {
	state, queue, group, pageToken string
	limit                          int
}

func (p *program) jobList() *cobra.Command {
	var f jobListFlags
	command, c := p.command(&cobra.Command{
		Use:   "ls",
		Short: "List jobs: the recent ones, or those that wait, are leased, delayed or dead",
		Long: `List jobs by their state:
  recent    every job that has a state, with its status, in no order
  waiting   whose task no worker has read yet
  leased    whose task a worker has, or had when its lease ran out
  delayed   whose task waits for its time
  dead      whose task was given up (argus dead ls says more)
All but recent are of one queue. When there are more than --limit, the way to go on is
printed on the standard error.`,
		Example: `  argus job ls
  argus job ls --state waiting --queue nightly
  argus job ls --state leased --limit 1000 -o jsonl`,
		Args: noArgsBut("argus job ls --state %s"),
	}, func(ctx context.Context, c *client, _ []string) error {
		if err := f.check(); err != nil {
			return usageError(err)
		}
		if f.state == "recent" {
			return c.listRecent(ctx, f)
		}
		return c.listPlace(ctx, f)
	})
	flags := command.Flags()
	flags.StringVar(&f.state, "state", "recent", strings.Join(jobPlaceWords, ", "))
	flags.StringVar(&f.queue, "queue", "", "queue; empty means the server's default")
	flags.StringVar(&f.group, "group", "", "with waiting and leased: only of this consumer group")
	flags.IntVar(&f.limit, "limit", 100, "how many jobs at most; 0 means all")
	flags.StringVar(&f.pageToken, "page-token", "", "go on where a list stopped")
	c.connection()
	return command
}

func (f jobListFlags) check() error {
	switch {
	case !slices.Contains(jobPlaceWords, f.state):
		return fmt.Errorf("--state: %q is not one of %s", f.state, strings.Join(jobPlaceWords, ", "))
	case f.limit < 0:
		return errors.New("--limit: must not be negative")
	case f.state == "recent" && f.queue+f.group != "":
		return errors.New("--queue, --group: go with --state waiting, leased, delayed or dead; a job's state is of no queue")
	}
	return nil
}

// pageSize is how many jobs to ask for when so many were listed.
func (f jobListFlags) pageSize(listed int) int32 {
	const most = 500
	if f.limit == 0 {
		return most
	}
	return int32(min(most, f.limit-listed))
}

// isFull is true when no more may be listed.
func (f jobListFlags) isFull(listed int) bool { return f.limit > 0 && listed >= f.limit }

// more says how a list goes on that has stopped before its end.
func (c *client) more(f jobListFlags, token string) {
	command := "argus job ls --state " + f.state
	if f.queue != "" {
		command += " --queue " + shellWord(f.queue)
	}
	if f.group != "" {
		command += " --group " + shellWord(f.group)
	}
	fmt.Fprintf(c.stderr, "argus job ls: there are more; go on with: %s --page-token %s\n", command, token)
}

// eachJob calls visit once for each job that has a state, one page after the other, up to the
// limit. It returns the token that goes on behind these, "" at the end.
func (c *client) eachJob(ctx context.Context, f jobListFlags, visit func(*argusv1.JobSummary) error) (string, error) {
	seen := make(map[string]bool)
	request := &argusv1.ListRequest{PageToken: f.pageToken}
	for {
		request.PageSize = f.pageSize(len(seen))
		page, err := c.state.List(ctx, request)
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

// listRecent lists jobs that have a state.
func (c *client) listRecent(ctx context.Context, f jobListFlags) error {
	rows := [][]string{{"STATUS", "JOB", "COMPLETED"}}
	token, err := c.eachJob(ctx, f, func(job *argusv1.JobSummary) error {
		rows = append(rows, []string{statusCell(job.GetStatus(), job.GetStatusText()), idText(job.GetJobId()), clock(job.GetCompletedAt())})
		if c.Output != "table" {
			return c.print(job)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return c.endList(f, rows, token)
}

// listPlace lists the tasks of a place, one page after the other.
func (c *client) listPlace(ctx context.Context, f jobListFlags) error {
	rows, listed := [][]string{taskHeads[f.state]}, 0
	request := &argusv1.ListTasksRequest{Queue: f.queue, Place: jobPlaces[f.state], Group: f.group, PageToken: f.pageToken}
	for {
		request.PageSize = f.pageSize(listed)
		page, err := c.admin.ListTasks(ctx, request)
		if err != nil {
			return err
		}
		for _, task := range page.GetTasks() {
			rows, listed = append(rows, taskRow(f.state, task)), listed+1
			if c.Output != "table" {
				err = errors.Join(err, c.print(task))
			}
		}
		if err != nil {
			return err
		}
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" || f.isFull(listed) {
			break
		}
	}
	return c.endList(f, rows, request.PageToken)
}

// endList prints a list as a table, if it is one, and how it goes on.
func (c *client) endList(f jobListFlags, rows [][]string, token string) error {
	if c.Output == "table" {
		if err := c.table(rows...); err != nil {
			return err
		}
	}
	if token != "" {
		c.more(f, token)
	}
	return nil
}

// taskHeads are the columns of the tasks of a place.
var taskHeads = map[string][]string{
	"waiting": {"JOB", "MESSAGE", "PUBLISHED", "ATTEMPTS", "REASON"},
	"leased":  {"JOB", "MESSAGE", "CONSUMER", "GROUP", "ATTEMPT", "LEASED UNTIL"},
	"delayed": {"JOB", "DUE", "PUBLISHED", "ATTEMPTS", "REASON"},
	"dead":    {"JOB", "MESSAGE", "CAUSE", "ATTEMPTS", "REASON"},
}

func taskRow(state string, t *argusv1.TaskInfo) []string {
	job, attempts, reason := idText(t.GetJobId()), strconv.Itoa(int(t.GetAttempts())), oneLine(t.GetReason())
	switch state {
	case "leased":
		until := clock(t.GetLeaseExpireTime())
		if t.GetPlace() == argusv1.TaskPlace_TASK_PLACE_WAITING {
			until += " (ran out)"
		}
		return []string{job, t.GetMessageId(), idText(t.GetConsumer()), idText(t.GetGroup()), attempts, until}
	case "delayed":
		return []string{job, clock(t.GetDueTime()), clock(t.GetPublishTime()), attempts, reason}
	case "dead":
		return []string{job, t.GetMessageId(), t.GetCause(), attempts, reason}
	}
	return []string{job, t.GetMessageId(), clock(t.GetPublishTime()), attempts, reason}
}
