package redis

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// The janitor removes what others leave behind. One broker of a tenant cleans at a time.
const (
	cleanPeriod = 30 * time.Second
	// consumerIdle is how long a consumer that holds nothing is kept.
	consumerIdle = time.Hour
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

// keepClean cleans until ctx ends.
func (b *Broker) keepClean(ctx context.Context) {
	var scan ttlScan
	for pause(ctx, cleanPeriod) {
		isMine, err := b.client.commands.SetNX(ctx, b.keys.janitor(), "", cleanPeriod*9/10).Result()
		if err == nil && isMine {
			_, scanErr := b.expire(ctx, &scan, scanPages)
			err = errors.Join(b.cleanQueues(ctx), scanErr)
		}
		if err != nil && ctx.Err() == nil {
			b.log.Warn("cleaning up failed", "error", err)
		}
	}
}

// Clean removes from all queues what was settled without being deleted, consumers that
// are gone and hold nothing, and names of queues that are no more; and gives a TTL to
// states and completion streams that have none. A broker does so by itself, a part every
// 30 seconds.
func (b *Broker) Clean(ctx context.Context) error {
	err := b.cleanQueues(ctx)
	for scan, done := (ttlScan{}), false; err == nil && !done; {
		done, err = b.expire(ctx, &scan, scanPages)
	}
	return err
}

func (b *Broker) cleanQueues(ctx context.Context) error {
	queues, err := b.queueNames(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, queue := range queues {
		errs = append(errs, b.trim(ctx, queue), b.forgetQueue(ctx, queue, queueIdle), b.dismiss(ctx, queue, consumerIdle), b.warnUnread(ctx, queue), b.tidyUncounted(ctx, queue))
	}
	old := strconv.FormatInt(time.Now().Add(-cancelledPeriod).UnixMilli(), 10)
	err = b.client.commands.ZRemRangeByScore(ctx, b.keys.cancelledJobs(), "-inf", old).Err()
	return errors.Join(append(errs, translate("forget cancelled jobs", err, repeatable))...)
}

// trim removes entries that every group has settled from a queue's beginning. What no
// consumer is known to have been given is not removed without a word: it is logged and
// counted.
func (b *Broker) trim(ctx context.Context, queue string) error {
	total, unseen, lastUnseen := int64(0), int64(0), ""
	for {
		reply, err := trimScript.strings(ctx, b.client, repeatable, []string{b.keys.tasks(queue), b.keys.groupBegins(queue)},
			trimPage, b.config.DefaultGroup, cancelledPeriod.Milliseconds())
		if err != nil {
			return err
		}
		removed, err1 := number(reply[0])
		skipped, err2 := number(reply[1])
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if skipped > 0 {
			unseen, lastUnseen = unseen+skipped, reply[2]
		}
		if total += removed; removed < trimPage-1 {
			break
		}
	}
	if total > 0 {
		b.log.Debug("removed settled entries", "queue", queue, "entries", total)
	}
	if unseen > 0 {
		b.unseenRemoved.Add(unseen)
		b.log.Warn("removed entries that no consumer is known to have been given: every consumer group of the stream began behind them",
			"queue", queue, "entries", unseen, "last_message_id", lastUnseen)
	}
	return nil
}

// dismiss removes consumers that hold nothing and have not been heard of for long.
func (b *Broker) dismiss(ctx context.Context, queue string, idle time.Duration) error {
	key := b.keys.tasks(queue)
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return err
	}
	for _, group := range groups {
		list, err := b.client.commands.XInfoConsumers(ctx, key, group.Name).Result()
		if isNoKey(err) {
			continue
		} else if err != nil {
			return translate("list consumers", err, repeatable)
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
		if _, err := leaveScript.run(ctx, b.client, repeatable, []string{key}, args...); err != nil {
			return err
		}
	}
	return nil
}

// warnPeriod is how often an unread group is warned of.
const warnPeriod = time.Hour

// warnUnread tells the log of groups that keep tasks in a queue although nothing reads with
// them.
func (b *Broker) warnUnread(ctx context.Context, queue string) error {
	groups, err := b.groups(ctx, queue)
	if err != nil || len(groups) == 0 {
		return err
	}
	if err := b.inspectGroups(ctx, queue, groups); err != nil {
		return err
	}
	for _, g := range groups {
		if g.Unread && b.known.warned.due(queue+"\x00"+g.Name) {
			b.log.Warn("tasks wait for a consumer group that nothing reads with, and stay in the queue until it does: start a worker of the group, or delete the group",
				"queue", queue, "group", g.Name)
		}
	}
	return nil
}

// tidyUncounted forgets uncounted deliveries of entries that are gone, and keeps the others.
func (b *Broker) tidyUncounted(ctx context.Context, queue string) error {
	key := b.keys.uncounted(queue)
	for cursor := uint64(0); ; {
		list, next, err := b.client.commands.HScan(ctx, key, cursor, "", scanCount).Result()
		if err != nil {
			return translate("tidy uncounted deliveries", err, repeatable)
		}
		pipe := b.client.commands.Pipeline()
		entries := make(map[string]*goredis.XPendingExtCmd)
		for i := 0; i+1 < len(list); i += 2 {
			if space := strings.LastIndex(list[i], " "); space >= 0 {
				id := list[i][space+1:]
				entries[list[i]] = pipe.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: b.keys.tasks(queue), Group: list[i][:space], Start: id, End: id, Count: 1})
			}
		}
		_, _ = pipe.Exec(ctx) // each has its own error
		for field, cmd := range entries {
			if isNoKey(cmd.Err()) || cmd.Err() == nil && len(cmd.Val()) == 0 {
				pipe.HDel(ctx, key, field)
			}
		}
		pipe.PExpire(ctx, key, uncountedTTL)
		if _, err := pipe.Exec(ctx); err != nil {
			return translate("tidy uncounted deliveries", err, repeatable)
		}
		if cursor = next; next == 0 {
			return nil
		}
	}
}

// forgetQueue forgets a queue that holds nothing and that nothing has read from for some time,
// unless the settings or CreateGroup name it.
func (b *Broker) forgetQueue(ctx context.Context, queue string, idle time.Duration) error {
	if b.config.isNamed(queue) {
		return nil
	}
	keys := []string{b.keys.tasks(queue), b.keys.queues(), b.keys.emptyQueues(), b.keys.groupBegins(queue), b.keys.uncounted(queue),
		b.keys.fairReady(queue), b.keys.fairParked(queue), b.keys.fairTags(queue), b.keys.fairHeld(queue),
		b.keys.delayed(queue), b.keys.backlog(queue), b.keys.deadLetters(queue), b.keys.paused(queue), b.keys.createdGroups(queue)}
	word, err := forgetScript.word(ctx, b.client, repeatable, keys, queue, idle.Milliseconds())
	if word == "FORGOTTEN" {
		b.known.noted.forget(queue)
		b.known.grouped.forget(queue)
		b.log.Debug("forgot an empty queue", "queue", queue)
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
func (b *Broker) expire(ctx context.Context, s *ttlScan, pages int) (done bool, err error) {
	node, err := b.client.node(ctx)
	if err != nil {
		return false, err
	}
	families := []struct {
		pattern string
		kind    string
		visit   func(keys []string) error
	}{
		{b.keys.statePattern(), "hash", func(keys []string) error { return b.expireKeys(ctx, keys, b.config.StateTTL) }},
		{globEscape(b.keys.completion("")) + "*", "stream", func(keys []string) error { return b.expireKeys(ctx, keys, b.config.CompletionTTL) }},
		{b.keys.innerPattern(), "set", b.tellInnerPrefixes},
	}
	for range pages {
		family := families[s.family]
		keys, next, err := node.ScanType(ctx, s.cursor, family.pattern, scanCount, family.kind).Result()
		if err != nil {
			return false, translate("look through the keys", err, repeatable)
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
func (b *Broker) tellInnerPrefixes(found []string) error {
	for _, prefix := range b.keys.innerPrefixes(found) {
		if b.known.warned.due(prefix) {
			b.log.Error("another prefix begins with this one, so queues of the one can be reached under the other: give it another prefix or database",
				"prefix", b.keys.prefix, "other_prefix", prefix)
		}
	}
	return nil
}

func (b *Broker) expireKeys(ctx context.Context, keys []string, ttl time.Duration) error {
	if len(keys) == 0 {
		return nil
	}
	pipe := b.client.commands.Pipeline()
	ttls := make([]*goredis.DurationCmd, len(keys))
	for i, key := range keys {
		ttls[i] = pipe.PTTL(ctx, key)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return translate("look for keys without end", err, repeatable)
	}
	for i, key := range keys {
		if ttls[i].Val() == -1 {
			pipe.PExpire(ctx, key, ttl)
		}
	}
	_, err := pipe.Exec(ctx)
	return translate("expire", err, repeatable)
}
