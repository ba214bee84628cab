package admin

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// CreateGroup creates a consumer group of a queue, and the queue where it is missing. The group
// gets what the queue holds now and what is published from now on, and keeps it until workers
// of the group have settled it. created is false when it was there. "" is the default queue.
// Errors: ErrTooManyGroups, ErrTooManyQueues.
func (q *Queues) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	queue, err = q.QueueName(queue)
	if err != nil {
		return false, err
	}
	if err := job.CheckID("group", group); err != nil {
		return false, err
	}
	word, err := q.runGroup(ctx, queue, group, "create")
	return word == "CREATED", err
}

// DeleteGroup deletes a consumer group. What only it had still to settle is removed from the
// queue by the cleaner. With force it goes although its workers hold tasks; they lose their
// leases. "" is the default queue. Errors: ErrGroupNotFound, ErrGroupInUse, ErrInvalid for a
// group of the settings.
func (q *Queues) DeleteGroup(ctx context.Context, queue, group string, force bool) error {
	queue, err := q.QueueName(queue)
	if err != nil {
		return err
	}
	if err := job.CheckID("group", group); err != nil {
		return err
	}
	if q.MayCreate(queue, group) == "named" {
		return job.Invalid("group", "is named in the server's settings, which would create it again; take it out there first")
	}
	mode := "delete"
	if force {
		mode = "force"
	}
	_, err = q.runGroup(ctx, queue, group, mode)
	return err
}

// runGroup runs the script that creates and deletes groups.
func (q *Queues) runGroup(ctx context.Context, queue, group, mode string) (string, error) {
	keys := []string{q.Keys.Tasks(queue), q.Keys.CreatedGroups(queue), q.Keys.GroupBegins(queue), q.Keys.Queues()}
	word, err := conn.GroupScript.Word(ctx, q.Conn, conn.Repeatable, keys, mode, group, queue, q.Settings.QueueLimit(queue), q.Settings.DefaultGroup)
	if err != nil {
		return "", err
	}
	switch word {
	case "GROUPS":
		err = &job.GroupError{Queue: queue, Group: group, Err: job.ErrTooManyGroups}
	case "QUEUES":
		err = job.ErrTooManyQueues
	case "NOT_FOUND":
		err = &job.GroupError{Queue: queue, Group: group, Err: job.ErrGroupNotFound}
	case "IN_USE":
		err = &job.GroupError{Queue: queue, Group: group, Err: job.ErrGroupInUse}
	}
	return word, err
}
