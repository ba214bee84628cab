package cli

import (
	"context"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// listTasks lists the tasks of a place, page by page.
func listTasks(ctx context.Context, c *client.Client, f jobFilter) error {
	list, listed := c.Out.NewList(taskHeads[f.state]...), 0
	request := &argusv1.ListTasksRequest{Queue: f.queue, Place: jobPlaces[f.state], Group: f.group, PageToken: f.pageToken}
	for {
		request.PageSize = f.pageSize(listed)
		page, err := c.Admin.ListTasks(ctx, request)
		if err != nil {
			return err
		}
		for _, task := range page.GetTasks() {
			if err := list.Add(task, taskRow(f.state, task)...); err != nil {
				return err
			}
			listed++
		}
		request.PageToken = page.GetNextPageToken()
		if request.PageToken == "" || f.isFull(listed) {
			return endJobList(c, f, list, request.PageToken)
		}
	}
}

// taskHeads has the columns of the tasks of a place.
var taskHeads = map[string][]string{
	"waiting": {"JOB", "MESSAGE", "PUBLISHED", "ATTEMPTS", "REASON"},
	"leased":  {"JOB", "MESSAGE", "CONSUMER", "GROUP", "ATTEMPT", "LEASED UNTIL"},
	"delayed": {"JOB", "DUE", "PUBLISHED", "ATTEMPTS", "REASON"},
	"dead":    {"JOB", "MESSAGE", "CAUSE", "ATTEMPTS", "REASON"},
}

func taskRow(state string, t *argusv1.TaskInfo) []string {
	job, attempts, reason := output.ID(t.GetJobId()), count(t.GetAttempts()), output.OneLine(t.GetReason())
	switch state {
	case "leased":
		return []string{job, t.GetMessageId(), output.ID(t.GetConsumer()), output.ID(t.GetGroup()), attempts, leasedUntil(t)}
	case "delayed":
		return []string{job, output.Clock(t.GetDueTime()), output.Clock(t.GetPublishTime()), attempts, reason}
	case "dead":
		return []string{job, t.GetMessageId(), t.GetCause(), attempts, reason}
	}
	return []string{job, t.GetMessageId(), output.Clock(t.GetPublishTime()), attempts, reason}
}
