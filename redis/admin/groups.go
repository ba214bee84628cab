package admin

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// CreateGroup creates a consumer group of a queue, and the queue where it is missing. The group
// gets what the queue holds now and what is published from now on, and keeps it until workers
// of the group have settled it. created is false when it existed. "" is the default queue.
// Errors: ErrTooManyGroups, ErrTooManyQueues.
func (q *Queues) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	queue, err = q.QueueName(queue)
	if err != nil {
		return false, err
	}
	if err := job.CheckID("group", group); err != nil {
		return false, err
	}
	verdict, err := q.runGroup(ctx, groupArgs{Mode: groupCreate, Group: group, Queue: queue})
	return verdict == conn.VerdictCreated, err
}

// DeleteGroup deletes a consumer group. The cleaner removes from the queue what only this group had still to
// settle. With force the group is deleted although its workers hold tasks; they lose their
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
		return job.Invalid("group", "is named in the server's settings, which would create it again; remove it there first")
	}
	mode := groupDelete
	if force {
		mode = groupForce
	}
	_, err = q.runGroup(ctx, groupArgs{Mode: mode, Group: group, Queue: queue})
	return err
}

// What the group script does.
const (
	groupCreate = "create"
	groupDelete = "delete"
	groupForce  = "force" // delete, although consumers hold tasks
)

// groupArgs are the arguments of lua/group.lua, under the names that its header gives them. The others
// follow from the settings.
type groupArgs struct {
	Mode  string
	Group string
	Queue string
}

// runGroup runs the group script, and returns its verdict; the refusals are errors.
func (q *Queues) runGroup(ctx context.Context, a groupArgs) (verdict string, err error) {
	keys := []string{q.Keys.Tasks(a.Queue), q.Keys.CreatedGroups(a.Queue), q.Keys.GroupBegins(a.Queue), q.Keys.Tenant().Queues()}
	verdict, err = conn.GroupScript.Word(ctx, q.Conn, conn.Repeatable, keys,
		a.Mode, a.Group, a.Queue, q.Settings.QueueLimit(a.Queue), q.Settings.DefaultGroup)
	if err != nil {
		return "", err
	}
	switch verdict {
	case conn.VerdictTooManyGroups:
		err = &job.GroupError{Queue: a.Queue, Group: a.Group, Err: job.ErrTooManyGroups}
	case conn.VerdictTooManyQueues:
		err = job.ErrTooManyQueues
	case conn.VerdictNotFound:
		err = &job.GroupError{Queue: a.Queue, Group: a.Group, Err: job.ErrGroupNotFound}
	case conn.VerdictInUse:
		err = &job.GroupError{Queue: a.Queue, Group: a.Group, Err: job.ErrGroupInUse}
	}
	return verdict, err
}
