package admin

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Cleaner removes what others leave behind.
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

// The janitor removes what others leave behind. One broker of a tenant cleans at a time.
const (
	cleanPeriod = 30 * time.Second
	// ConsumerIdle is how long a consumer that holds nothing is kept.
	ConsumerIdle = time.Hour
	// queueIdle is how long a queue is kept that is empty and that nothing reads from.
	queueIdle = time.Hour
	// cancelledPeriod is how long it is remembered that a job was cancelled.
	cancelledPeriod = 30 * 24 * time.Hour
	// trimPage is how many settled entries one script call removes.
	trimPage = 1000
	// scanPages is how many pages of keys are looked at in each period for those without a
	// TTL.
	scanPages = 20
)

// Run cleans until ctx ends.
func (c *Cleaner) Run(ctx context.Context) {
	var scan ttlScan
	for conn.Pause(ctx, cleanPeriod) {
		isMine, err := c.Commands.SetNX(ctx, c.Keys.Janitor(), "", cleanPeriod*9/10).Result()
		if err == nil && isMine {
			_, scanErr := c.expire(ctx, &scan, scanPages)
			err = errors.Join(c.cleanQueues(ctx), scanErr)
		}
		if err != nil && ctx.Err() == nil {
			c.Log.Warn("cleaning up failed", "error", err)
		}
	}
}

// Clean removes from all queues what was settled without being deleted, consumers that
// are gone and hold nothing, and names of queues that are no more; and gives a TTL to
// states and completion streams that have none. A broker does so by itself, a part every
// 30 seconds.
func (c *Cleaner) Clean(ctx context.Context) error {
	err := c.cleanQueues(ctx)
	for scan, done := (ttlScan{}), false; err == nil && !done; {
		done, err = c.expire(ctx, &scan, scanPages)
	}
	return err
}

func (c *Cleaner) cleanQueues(ctx context.Context) error {
	queues, err := c.QueueNames(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, queue := range queues {
		errs = append(errs, c.trimmer.trim(ctx, queue), c.ForgetQueue(ctx, queue, queueIdle), c.RemoveIdleConsumers(ctx, queue, ConsumerIdle), c.warnUnread(ctx, queue), c.tidyUncounted(ctx, queue))
	}
	old := strconv.FormatInt(time.Now().Add(-cancelledPeriod).UnixMilli(), 10)
	err = c.Commands.ZRemRangeByScore(ctx, c.Keys.CancelledJobs(), "-inf", old).Err()
	return errors.Join(append(errs, conn.Translate("forget cancelled jobs", err, conn.Repeatable))...)
}

// RemoveIdleConsumers removes consumers that hold nothing and have not been heard of for long.
func (cleaner *Cleaner) RemoveIdleConsumers(ctx context.Context, queue string, idle time.Duration) error {
	key := cleaner.Keys.Tasks(queue)
	groups, err := cleaner.Groups(ctx, queue)
	if err != nil {
		return err
	}
	for _, group := range groups {
		list, err := cleaner.Commands.XInfoConsumers(ctx, key, group.Name).Result()
		if conn.IsNoKey(err) {
			continue
		} else if err != nil {
			return conn.Translate("list consumers", err, conn.Repeatable)
		}
		args := []any{group.Name}
		for _, c := range list {
			if c.Pending == 0 && c.Idle > idle {
				args = append(args, c.Name)
			}
		}
		if len(args) == 1 {
			continue
		}
		if _, err := conn.LeaveScript.Run(ctx, cleaner.Conn, conn.Repeatable, []string{key}, args...); err != nil {
			return err
		}
	}
	return nil
}

// WarnPeriod is how often an unread group is warned of.
const WarnPeriod = time.Hour

// warnUnread tells the log of groups that keep tasks in a queue although nothing reads with
// them.
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

// tidyUncounted forgets uncounted deliveries of entries that are gone, and keeps the others.
func (c *Cleaner) tidyUncounted(ctx context.Context, name string) error {
	key := c.Keys.Uncounted(name)
	for cursor := uint64(0); ; {
		list, next, err := c.Commands.HScan(ctx, key, cursor, "", conn.ScanCount).Result()
		if err != nil {
			return conn.Translate("tidy uncounted deliveries", err, conn.Repeatable)
		}
		pipe := c.Commands.Pipeline()
		entries := make(map[string]*goredis.XPendingExtCmd)
		for i := 0; i+1 < len(list); i += 2 {
			if space := strings.LastIndex(list[i], " "); space >= 0 {
				id := list[i][space+1:]
				entries[list[i]] = pipe.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: c.Keys.Tasks(name), Group: list[i][:space], Start: id, End: id, Count: 1})
			}
		}
		_, _ = pipe.Exec(ctx) // each has its own error
		for field, cmd := range entries {
			if conn.IsNoKey(cmd.Err()) || cmd.Err() == nil && len(cmd.Val()) == 0 {
				pipe.HDel(ctx, key, field)
			}
		}
		pipe.PExpire(ctx, key, queue.UncountedTTL)
		if _, err := pipe.Exec(ctx); err != nil {
			return conn.Translate("tidy uncounted deliveries", err, conn.Repeatable)
		}
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// ForgetQueue forgets a queue that holds nothing and that nothing has read from for some time,
// unless the settings or CreateGroup name it.
func (c *Cleaner) ForgetQueue(ctx context.Context, queue string, idle time.Duration) error {
	if c.Settings.IsNamed(queue) {
		return nil
	}
	keys := []string{c.Keys.Tasks(queue), c.Keys.Queues(), c.Keys.EmptyQueues(), c.Keys.GroupBegins(queue), c.Keys.Uncounted(queue),
		c.Keys.FairReady(queue), c.Keys.FairParked(queue), c.Keys.FairTags(queue), c.Keys.FairHeld(queue),
		c.Keys.Delayed(queue), c.Keys.Backlog(queue), c.Keys.DeadLetters(queue), c.Keys.Paused(queue), c.Keys.CreatedGroups(queue)}
	word, err := conn.ForgetScript.Word(ctx, c.Conn, conn.Repeatable, keys, queue, idle.Milliseconds())
	if word == "FORGOTTEN" {
		c.registry.Known.Noted.Forget(queue)
		c.registry.Known.Grouped.Forget(queue)
		c.Log.Debug("forgot an empty queue", "queue", queue)
	}
	return err
}

// ttlScan is how far the search for keys without a TTL is.
type ttlScan struct {
	family int
	cursor uint64
}

// expire gives states and completion streams that raw peers made without a TTL the one of
// the settings, and tells the log of prefixes within this one. It looks at some pages of keys,
// and goes on there the next time; done is true when it has seen all.
func (c *Cleaner) expire(ctx context.Context, s *ttlScan, pages int) (done bool, err error) {
	node, err := c.Node(ctx)
	if err != nil {
		return false, err
	}
	families := []struct {
		pattern string
		kind    string
		visit   func(keys []string) error
	}{
		{c.Keys.StatePattern(), "hash", func(keys []string) error { return c.expireKeys(ctx, keys, c.Settings.StateTTL) }},
		{job.GlobEscape(c.Keys.Completion("")) + "*", "stream", func(keys []string) error { return c.expireKeys(ctx, keys, c.Settings.CompletionTTL) }},
		{c.Keys.InnerPattern(), "set", c.tellInnerPrefixes},
	}
	for range pages {
		family := families[s.family]
		keys, next, err := node.ScanType(ctx, s.cursor, family.pattern, conn.ScanCount, family.kind).Result()
		if err != nil {
			return false, conn.Translate("look through the keys", err, conn.Repeatable)
		}
		if err := family.visit(keys); err != nil {
			return false, err
		}
		s.cursor = next
		if next == 0 {
			s.family++
		}
		if s.family == len(families) {
			*s = ttlScan{}
			return true, nil
		}
	}
	return false, nil
}

// tellInnerPrefixes tells the log of other tenants whose keys queues of this one can reach.
func (c *Cleaner) tellInnerPrefixes(found []string) error {
	for _, prefix := range c.Keys.InnerPrefixes(found) {
		if c.registry.Known.Warned.Due(prefix) {
			c.Log.Error("another prefix begins with this one, so queues of the one can be reached under the other: give it another prefix or database",
				"prefix", c.Keys.Prefix, "other_prefix", prefix)
		}
	}
	return nil
}

func (c *Cleaner) expireKeys(ctx context.Context, keys []string, ttl time.Duration) error {
	if len(keys) == 0 {
		return nil
	}
	pipe := c.Commands.Pipeline()
	ttls := make([]*goredis.DurationCmd, len(keys))
	for i, key := range keys {
		ttls[i] = pipe.PTTL(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("look for keys without end", err, conn.Repeatable)
	}
	for i, key := range keys {
		if ttls[i].Val() == -1 {
			pipe.PExpire(ctx, key, ttl)
		}
	}
	_, err := pipe.Exec(ctx)
	return conn.Translate("expire", err, conn.Repeatable)
}
