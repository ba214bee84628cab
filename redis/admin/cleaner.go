package admin

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Cleaner removes what raw peers and vanished workers leave behind. One broker of a tenant cleans at a time.
type Cleaner struct {
	*conn.Shard
	registry *queue.Registry
	queues   *Queues
	trimmer  *Trimmer
}

// NewCleaner returns a cleaner. It cleans by itself while Run runs.
func NewCleaner(shard *conn.Shard, registry *queue.Registry, queues *Queues, trimmer *Trimmer) *Cleaner {
	return &Cleaner{shard, registry, queues, trimmer}
}

const (
	cleanPeriod = 30 * time.Second
	// queueIdle is how long an empty queue that is not read from is kept.
	queueIdle = time.Hour
	// cancelledPeriod is how long the cancellation of a job is remembered.
	cancelledPeriod = 30 * 24 * time.Hour
)

// Run cleans until ctx ends.
func (c *Cleaner) Run(ctx context.Context) {
	var scan ttlScan
	for conn.Pause(ctx, cleanPeriod) {
		isMine, err := c.Commands.SetNX(ctx, c.Keys.Tenant().Janitor(), "", cleanPeriod*9/10).Result()
		if err == nil && isMine {
			_, scanErr := c.scanKeys(ctx, &scan, scanPages)
			err = errors.Join(c.cleanQueues(ctx), scanErr)
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("cleaning up failed", "error", err)
		}
	}
}

// Clean removes from all queues entries that were settled without being deleted, consumers that
// are idle and hold nothing, and unused queues; and gives a TTL to states and completion streams
// that have none. Run does so by itself, a part every 30 seconds.
func (c *Cleaner) Clean(ctx context.Context) error {
	err := c.cleanQueues(ctx)
	for scan, done := (ttlScan{}), false; err == nil && !done; {
		done, err = c.scanKeys(ctx, &scan, scanPages)
	}
	return err
}

// cleanQueues cleans each queue, and forgets old cancellations. An error does not stop it.
func (c *Cleaner) cleanQueues(ctx context.Context) error {
	names, err := c.QueueNames(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, c.trimmer.trim(ctx, name), c.ForgetQueue(ctx, name, queueIdle),
			c.RemoveIdleConsumers(ctx, name, queue.ConsumerIdle), c.warnUnread(ctx, name), c.removeUncounted(ctx, name))
	}
	old := strconv.FormatInt(time.Now().Add(-cancelledPeriod).UnixMilli(), 10)
	err = c.Commands.ZRemRangeByScore(ctx, c.Keys.Tenant().CancelledJobs(), "-inf", old).Err()
	return errors.Join(append(errs, conn.Translate("forget cancelled jobs", err, conn.Repeatable))...)
}

// RemoveIdleConsumers removes consumers that hold nothing and have not asked for tasks for idle.
func (c *Cleaner) RemoveIdleConsumers(ctx context.Context, queue string, idle time.Duration) error {
	groups, err := c.Groups(ctx, queue)
	if err != nil {
		return err
	}
	for _, group := range groups {
		consumers, err := c.Commands.XInfoConsumers(ctx, c.Keys.Tasks(queue), group.Name).Result()
		if conn.IsNoKey(err) {
			continue
		} else if err != nil {
			return conn.Translate("list consumers", err, conn.Repeatable)
		}
		var names []string
		for _, consumer := range consumers {
			if consumer.Pending == 0 && consumer.Idle > idle {
				names = append(names, consumer.Name)
			}
		}
		if len(names) == 0 {
			continue
		}
		if err := c.runLeave(ctx, leaveArgs{Tasks: queue, Group: group.Name, Consumers: names}); err != nil {
			return err
		}
	}
	return nil
}

// leaveArgs are the arguments of lua/leave.lua, under the names that its header gives them.
type leaveArgs struct {
	Tasks     string // the queue
	Group     string
	Consumers []string
}

// runLeave runs the leave script.
func (c *Cleaner) runLeave(ctx context.Context, a leaveArgs) error {
	_, err := conn.LeaveScript.Run(ctx, c.Conn, conn.Repeatable, []string{c.Keys.Tasks(a.Tasks)}, conn.AppendStrings([]any{a.Group}, a.Consumers)...)
	return err
}

// warnUnread warns of groups that keep tasks in a queue although no worker reads with them.
func (c *Cleaner) warnUnread(ctx context.Context, queue string) error {
	groups, err := c.Groups(ctx, queue)
	if err != nil || len(groups) == 0 {
		return err
	}
	if err := c.queues.inspectGroups(ctx, queue, groups); err != nil {
		return err
	}
	for _, g := range groups {
		if g.Unread && c.registry.Known.Warned.Due(queue+"\x00"+g.Name) {
			c.Log.Warn("tasks wait for a consumer group that nothing reads with, and stay in the queue until it does: start a worker of the group, or delete the group",
				"queue", queue, "group", g.Name)
		}
	}
	return nil
}

// ForgetQueue deletes a queue that holds nothing and was not read from for idle,
// unless the settings or CreateGroup name it.
func (c *Cleaner) ForgetQueue(ctx context.Context, queue string, idle time.Duration) error {
	if c.Settings.IsNamed(queue) {
		return nil
	}
	verdict, err := c.runForget(ctx, forgetArgs{Queue: queue, Period: idle})
	if verdict == conn.VerdictForgotten {
		c.registry.Known.Noted.Forget(queue)
		c.registry.Known.Grouped.Forget(queue)
		c.Log.Debug("forgot an empty queue", "queue", queue)
	}
	return err
}

// forgetArgs are the arguments of lua/forget.lua, under the names that its header gives them.
type forgetArgs struct {
	Queue  string
	Period time.Duration
}

// runForget runs the forget script, and returns its verdict.
func (c *Cleaner) runForget(ctx context.Context, a forgetArgs) (verdict string, err error) {
	keys := []string{c.Keys.Tasks(a.Queue), c.Keys.Tenant().Queues(), c.Keys.Tenant().EmptyQueues(), c.Keys.GroupBegins(a.Queue), c.Keys.Uncounted(a.Queue),
		c.Keys.Fair(a.Queue).Ready(), c.Keys.Fair(a.Queue).Parked(), c.Keys.Fair(a.Queue).Tags(), c.Keys.Fair(a.Queue).Held()}
	keys = append(keys, c.Keys.Delayed(a.Queue), c.Keys.Backlog(a.Queue), c.Keys.DeadLetters(a.Queue), c.Keys.Paused(a.Queue),
		c.Keys.CreatedGroups(a.Queue)) // a queue with one of these is in use
	return conn.ForgetScript.Word(ctx, c.Conn, conn.Repeatable, keys, a.Queue, a.Period.Milliseconds())
}
