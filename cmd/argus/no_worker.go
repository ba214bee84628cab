package main

import (
	"context"
	"fmt"
	"time"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// When a wait for a result looks for the reason that there is none: hintAfter, and then every
// hintPeriod.
const (
	hintAfter   = 2 * time.Second
	hintPeriod  = 30 * time.Second
	hintTimeout = 2 * time.Second
	// workerGone is how long ago the last worker asked when none counts as reading. A worker
	// that waits for a task is given the one that there is, and so has just asked.
	workerGone = 30 * time.Second
)

// hintWhile says why a result does not come, once find knows it, until the returned function
// is called.
func (c *client) hintWhile(ctx context.Context, find func(context.Context) string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for wait := hintAfter; pause(ctx, wait); wait = hintPeriod {
			looking, cancel := context.WithTimeout(ctx, hintTimeout)
			text := find(looking)
			cancel()
			if text != "" && ctx.Err() == nil {
				fmt.Fprintf(c.stderr, "%s: %s\n", c.command.CommandPath(), text)
				return
			}
		}
	}()
	return func() { cancel(); <-done }
}

// jobHint says why the result of a job does not come, if it waits in a queue that no worker
// reads. The job is searched for only if there is such a queue.
func (c *client) jobHint(ctx context.Context, job string) string {
	response, err := c.admin.ListQueues(ctx, &argusv1.ListQueuesRequest{})
	if err != nil {
		return ""
	}
	for _, queue := range response.GetQueues() {
		text := c.queueHint(ctx, queue)
		if text == "" {
			continue
		}
		found, err := c.admin.GetJob(ctx, &argusv1.GetJobRequest{JobId: job})
		if task := found.GetTask(); err == nil && task.GetPlace() == argusv1.TaskPlace_TASK_PLACE_WAITING && task.GetQueue() == queue.GetName() {
			return text
		}
	}
	return ""
}

// namedQueueHint is queueHint for a queue by its name.
func (c *client) namedQueueHint(ctx context.Context, name string) string {
	response, err := c.admin.GetQueue(ctx, &argusv1.GetQueueRequest{Queue: name})
	if err != nil {
		return ""
	}
	return c.queueHint(ctx, response.GetQueue())
}

// queueHint says why tasks wait in a queue: it is paused, or no worker reads it. "" when none
// waits, a worker is there, or the server does not say.
func (c *client) queueHint(ctx context.Context, q *argusv1.Queue) string {
	switch {
	case q.GetWaiting() == 0:
		return ""
	case q.GetPauseTime() != nil:
		return fmt.Sprintf("the queue %s is paused; to go on: argus queue resume %s%s", idText(q.GetName()), shellWord(q.GetName()), c.addrFlag())
	}
	consumers, err := c.admin.ListConsumers(ctx, &argusv1.ListConsumersRequest{Queue: q.GetName()})
	if err != nil {
		return ""
	}
	last := time.Duration(-1)
	for _, consumer := range consumers.GetConsumers() {
		if idle := consumer.GetIdle().AsDuration(); last < 0 || idle < last {
			last = idle
		}
	}
	when := ""
	if last >= 0 {
		when = fmt.Sprintf(" (the last one asked %s ago)", last.Round(time.Second))
	}
	if last >= 0 && last < workerGone || c.isWorkedOn(ctx, q.GetName()) {
		return ""
	}
	return fmt.Sprintf("no worker reads the queue %s%s; start one: argus worker --queue %s%s -- echo done",
		idText(q.GetName()), when, shellWord(q.GetName()), c.addrFlag())
}

// isWorkedOn is true when a worker has a lease of a task of a queue, or may have one.
func (c *client) isWorkedOn(ctx context.Context, queue string) bool {
	request := &argusv1.ListTasksRequest{Queue: queue, Place: argusv1.TaskPlace_TASK_PLACE_LEASED, PageSize: 1000}
	for {
		page, err := c.admin.ListTasks(ctx, request)
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

// addrFlag is what another command needs to reach the same server.
func (c *client) addrFlag() string { return addrFlag(c.Addr) }
