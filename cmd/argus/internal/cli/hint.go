package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/shell"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// A wait for a result looks for the reason of a delay after hintAfter, and then every hintPeriod.
const (
	hintAfter   = 2 * time.Second
	hintPeriod  = 30 * time.Second
	hintTimeout = 2 * time.Second
	// workerGone is the time after which a worker that has not asked for tasks no longer counts. A
	// worker that waits gets a task as soon as there is one, and so has just asked.
	workerGone = 30 * time.Second
)

// hintWhile prints why a result is late, once find knows it, until the returned function is called.
func hintWhile(ctx context.Context, c *client.Client, find func(context.Context) string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := hintAfter; client.Sleep(ctx, wait); wait = hintPeriod {
			if text := findWithin(ctx, hintTimeout, find); text != "" && ctx.Err() == nil {
				fmt.Fprintf(c.Stderr, "%s: %s\n", c.Name, text)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

func findWithin(ctx context.Context, d time.Duration, find func(context.Context) string) string {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return find(ctx)
}

// jobHint says why the result of a job is late, if the job waits in a queue that no worker reads. It
// searches for the job only if there is such a queue.
func jobHint(ctx context.Context, c *client.Client, job string) string {
	response, err := c.Admin.ListQueues(ctx, &argusv1.ListQueuesRequest{})
	if err != nil {
		return ""
	}
	for _, queue := range response.GetQueues() {
		text := queueHint(ctx, c, queue)
		if text == "" {
			continue
		}
		found, err := c.Admin.GetJob(ctx, &argusv1.GetJobRequest{JobId: job})
		if task := found.GetTask(); err == nil && task.GetPlace() == argusv1.TaskPlace_TASK_PLACE_WAITING && task.GetQueue() == queue.GetName() {
			return text
		}
	}
	return ""
}

// queueNameHint is queueHint for a queue by its name.
func queueNameHint(ctx context.Context, c *client.Client, name string) string {
	response, err := c.Admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: name})
	if err != nil {
		return ""
	}
	return queueHint(ctx, c, response.GetQueue())
}

// queueHint says why tasks wait in a queue: it is paused, or no worker reads it. It returns "" when
// no task waits, when there is a worker, or when the server does not answer.
func queueHint(ctx context.Context, c *client.Client, q *argusv1.Queue) string {
	switch {
	case q.GetWaiting() == 0:
		return ""
	case q.GetPauseTime() != nil:
		return fmt.Sprintf("the queue %s is paused; to resume: argus queue resume %s%s", output.ID(q.GetName()), shell.Word(q.GetName()), c.AddrFlag())
	}
	response, err := c.Admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: q.GetName()})
	if err != nil {
		return ""
	}
	idle, hasConsumers := leastIdle(response.GetConsumers())
	if hasConsumers && idle < workerGone || hasLeasedTask(ctx, c, q.GetName()) {
		return ""
	}
	when := ""
	if hasConsumers {
		when = fmt.Sprintf(" (the last one asked %s ago)", idle.Round(time.Second))
	}
	return fmt.Sprintf("no worker reads the queue %s%s; start one: argus worker --queue %s%s -- echo done",
		output.ID(q.GetName()), when, shell.Word(q.GetName()), c.AddrFlag())
}

// leastIdle is how long ago the last consumer asked for tasks; false when there are no consumers.
func leastIdle(consumers []*argusv1.Consumer) (idle time.Duration, ok bool) {
	for _, consumer := range consumers {
		if d := consumer.GetIdle().AsDuration(); !ok || d < idle {
			idle, ok = d, true
		}
	}
	return idle, ok
}

// hasLeasedTask reports whether a worker holds a task of a queue, or may hold one.
func hasLeasedTask(ctx context.Context, c *client.Client, queue string) bool {
	request := &argusv1.ListTasksRequest{Queue: queue, Place: argusv1.TaskPlace_TASK_PLACE_LEASED, PageSize: 1000}
	for {
		page, err := c.Admin.ListTasks(ctx, request)
		if err != nil {
			return true
		}
		for _, task := range page.GetTasks() {
			if task.GetPlace() == argusv1.TaskPlace_TASK_PLACE_LEASED {
				return true
			}
		}
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return false
		}
	}
}
