package broker

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Admin looks into queues and acts on whole queues.
type Admin struct{ *shardSet }

// ListTasks lists a page of all shards, one shard after the other: Broker.Tasks.
func (a *Admin) ListTasks(ctx context.Context, l admin.TaskQuery) (tasks []admin.ListedTask, next string, err error) {
	if _, err := a.Queue(ctx, l.Queue); err != nil {
		return nil, "", err
	}
	return pages(a.shardSet, l.After, l.Count, func(b *shard, after string, count int) ([]admin.ListedTask, string, error) {
		l.After, l.Count = after, count
		return b.lists.Page(ctx, l)
	}, func(t *admin.ListedTask, i int) { t.Cursor = a.inShard(i, t.Cursor) })
}

// Queues lists a page of the known queues with what they hold in all shards: Broker.Queues.
func (a *Admin) Queues(ctx context.Context, after string, count int) ([]admin.QueueInfo, string, error) {
	lists := make([][]string, len(a.shards))
	errs := a.all(func(i int, b *shard) (err error) {
		lists[i], err = b.QueueNames(ctx)
		return err
	})
	if err := firstOf(errs); err != nil {
		return nil, "", err
	}
	names := slices.Concat(lists...)
	slices.Sort(names)
	names, next, err := admin.PageOfNames(slices.Compact(names), after, count)
	if err != nil {
		return nil, "", err
	}
	parts := make([][]admin.QueueInfo, len(a.shards))
	errs = a.all(func(i int, b *shard) (err error) {
		parts[i], err = b.queues.Describe(ctx, names)
		return err
	})
	return merge(parts, func(q admin.QueueInfo) string { return q.Name }, addQueue), next, firstOf(errs)
}

// Queue describes a queue: Broker.Queue.
func (a *Admin) Queue(ctx context.Context, name string) (admin.QueueInfo, error) {
	parts := make([][]admin.QueueInfo, len(a.shards))
	errs := a.all(func(i int, b *shard) error {
		q, err := b.queues.Get(ctx, name)
		if err == nil {
			parts[i] = []admin.QueueInfo{q}
		}
		return err
	})
	all := merge(parts, func(q admin.QueueInfo) string { return q.Name }, addQueue)
	if err := a.unlessAll(errs, job.ErrQueueNotFound); err != nil {
		return admin.QueueInfo{}, err
	}
	return all[0], nil
}

// unlessAll is the first of the errors, where some shards may lack what is looked for, but
// not all.
func (a *Admin) unlessAll(errs []error, missing error) error {
	lacking := 0
	for _, err := range errs {
		switch {
		case errors.Is(err, missing):
			lacking++
		case err != nil:
			return err
		}
	}
	if lacking == len(errs) {
		return errs[0]
	}
	return nil
}

// merge makes one of those in several lists that have the same name, in the order of the
// names.
func merge[T any](parts [][]T, name func(T) string, add func(into *T, other T)) []T {
	var all []T
	for _, part := range parts {
		for _, one := range part {
			at := slices.IndexFunc(all, func(other T) bool { return name(other) == name(one) })
			if at < 0 {
				all = append(all, one)
			} else {
				add(&all[at], one)
			}
		}
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return all
}

func addQueue(q *admin.QueueInfo, other admin.QueueInfo) {
	q.Waiting, q.Leased, q.Delayed, q.Dead = q.Waiting+other.Waiting, q.Leased+other.Leased, q.Delayed+other.Delayed, q.Dead+other.Dead
	q.Oldest, q.Paused = earlier(q.Oldest, other.Oldest), earlier(q.Paused, other.Paused)
	q.Groups = merge([][]job.GroupInfo{q.Groups, other.Groups}, func(g job.GroupInfo) string { return g.Name }, func(g *job.GroupInfo, other job.GroupInfo) {
		g.Waiting, g.Pending, g.LastDelivered = g.Waiting+other.Waiting, g.Pending+other.Pending, ""
		g.Consumers = max(g.Consumers, other.Consumers) // each reads from all shards
		if g.Idle < 0 || other.Idle >= 0 && other.Idle < g.Idle {
			g.Idle = other.Idle
		}
		g.Unread = g.Unread || other.Unread
	})
}

// earlier is the first of two times; one that is zero does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Consumers lists the consumers of a queue: Broker.Consumers.
func (a *Admin) Consumers(ctx context.Context, queue, group string) ([]admin.ConsumerInfo, error) {
	parts := make([][]admin.ConsumerInfo, len(a.shards))
	errs := a.all(func(i int, b *shard) (err error) {
		parts[i], err = b.queues.Consumers(ctx, queue, group)
		return err
	})
	name := func(c admin.ConsumerInfo) string { return c.Group + "\x00" + c.Name }
	all := merge(parts, name, func(c *admin.ConsumerInfo, other admin.ConsumerInfo) {
		c.Pending, c.Idle = c.Pending+other.Pending, min(c.Idle, other.Idle)
	})
	return all, a.unlessAll(errs, job.ErrQueueNotFound)
}

// shardSign stands between the number of a shard and what is meant in it.
const shardSign = ":"

// inShard names something of a shard in a list of all. A tenant with one prefix has plain names.
func (s *shardSet) inShard(i int, name string) string {
	if !s.isNumbered {
		return name
	}
	return strconv.Itoa(i) + shardSign + name
}

// parseInShard reads such a name.
func (s *shardSet) parseInShard(name string) (shard int, inner string, ok bool) {
	if !s.isNumbered {
		return 0, name, true
	}
	number, inner, ok := strings.Cut(name, shardSign)
	i, err := strconv.Atoi(number)
	return i, inner, ok && err == nil && i >= 0 && i < len(s.shards)
}

// pages lists a page of all shards, one after the other. List returns what a shard has after
// a token, and the token to go on with, "" at its end.
func pages[T any](s *shardSet, after string, count int, list func(b *shard, after string, count int) ([]T, string, error), name func(*T, int)) (all []T, next string, err error) {
	i, inner := 0, ""
	if after != "" {
		var ok bool
		if i, inner, ok = s.parseInShard(after); !ok {
			return nil, "", job.ErrPageToken
		}
	}
	for ; i < len(s.shards); i, inner = i+1, "" {
		part, more, err := list(s.shards[i], inner, count-len(all))
		if err != nil {
			return nil, "", err
		}
		for n := range part {
			name(&part[n], i)
		}
		if all = append(all, part...); more != "" {
			return all, s.inShard(i, more), nil
		}
		if len(all) >= count && i+1 < len(s.shards) {
			return all, s.inShard(i+1, ""), nil
		}
	}
	return all, "", nil
}

// Pending lists a page of a group's leases: Broker.Pending.
func (a *Admin) Pending(ctx context.Context, name, group, after string, count int) ([]queue.PendingInfo, error) {
	all, _, err := pages(a.shardSet, after, count, func(b *shard, after string, count int) ([]queue.PendingInfo, string, error) {
		list, err := b.locator.Pending(ctx, name, group, after, count)
		return list, fullPage(list, count, func(p queue.PendingInfo) string { return p.Cursor }), err
	}, func(p *queue.PendingInfo, i int) { p.Cursor = a.inShard(i, p.Cursor) })
	return all, err
}

// fullPage is where a list goes on after a page that is full, else "".
func fullPage[T any](list []T, count int, cursor func(T) string) string {
	if len(list) < count || len(list) == 0 {
		return ""
	}
	return cursor(list[len(list)-1])
}

// DeadLetters lists a page of a queue's dead letters: Broker.DeadLetters. They are oldest
// first in each shard.
func (a *Admin) DeadLetters(ctx context.Context, queue, after string, count int) ([]admin.DeadLetter, error) {
	all, _, err := pages(a.shardSet, after, count, func(b *shard, after string, count int) ([]admin.DeadLetter, string, error) {
		list, err := b.letters.List(ctx, queue, after, count)
		return list, fullPage(list, count, func(d admin.DeadLetter) string { return d.ID }), err
	}, func(d *admin.DeadLetter, i int) { d.ID = a.inShard(i, d.ID) })
	return all, err
}

// Redrive puts dead letters back into their queue: Broker.Redrive.
func (a *Admin) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return a.deadLetters(all, ids, func(b *shard, ids []string) (int, error) { return b.letters.Redrive(ctx, queue, all, ids) })
}

// DeleteDeadLetters removes dead letters: Broker.DeleteDeadLetters.
func (a *Admin) DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return a.deadLetters(all, ids, func(b *shard, ids []string) (int, error) { return b.letters.Delete(ctx, queue, all, ids) })
}

// deadLetters does something with all dead letters, or with those of some ids.
func (a *Admin) deadLetters(all bool, ids []string, do func(b *shard, ids []string) (int, error)) (int, error) {
	if err := admin.CheckLetterIDs(all, ids); err != nil {
		return 0, err
	}
	parts := make([][]string, len(a.shards))
	for _, id := range ids {
		i, inner, ok := a.parseInShard(id)
		if _, _, isID := job.SplitCursor(inner); !ok || !isID {
			return 0, admin.InvalidLetterID(id)
		}
		parts[i] = append(parts[i], inner)
	}
	counts := make([]int, len(a.shards))
	errs := a.all(func(i int, b *shard) (err error) {
		if all || len(parts[i]) > 0 {
			counts[i], err = do(b, parts[i])
		}
		return err
	})
	total := 0
	for _, n := range counts {
		total += n
	}
	return total, firstOf(errs)
}

// Purge removes the tasks that a queue has now: Broker.Purge.
func (a *Admin) Purge(ctx context.Context, queue string) (sum admin.Purged, err error) {
	parts := make([]admin.Purged, len(a.shards))
	errs := a.all(func(i int, b *shard) (err error) {
		parts[i], err = b.queues.Purge(ctx, queue)
		return err
	})
	for _, p := range parts {
		sum.Waiting, sum.Delayed, sum.Leased = sum.Waiting+p.Waiting, sum.Delayed+p.Delayed, sum.Leased+p.Leased
	}
	return sum, a.unlessAll(errs, job.ErrQueueNotFound)
}

// CreateGroup creates a consumer group of a queue in all shards: Broker.CreateGroup.
func (a *Admin) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	isNew := make([]bool, len(a.shards))
	errs := a.all(func(i int, b *shard) (err error) {
		isNew[i], err = b.queues.CreateGroup(ctx, queue, group)
		return err
	})
	return slices.Contains(isNew, true), firstOf(errs)
}

// DeleteGroup deletes a consumer group in all shards: Broker.DeleteGroup.
func (a *Admin) DeleteGroup(ctx context.Context, queue, group string, force bool) error {
	return a.unlessAll(a.all(func(_ int, b *shard) error { return b.queues.DeleteGroup(ctx, queue, group, force) }), job.ErrGroupNotFound)
}

// Pause stops the delivery of a queue's tasks: Broker.Pause.
func (a *Admin) Pause(ctx context.Context, queue string) error {
	return firstOf(a.all(func(_ int, b *shard) error { return b.queues.Pause(ctx, queue) }))
}

// Resume ends a pause: Broker.Resume.
func (a *Admin) Resume(ctx context.Context, queue string) error {
	return firstOf(a.all(func(_ int, b *shard) error { return b.queues.Resume(ctx, queue) }))
}

// Clean removes from all queues what was settled without being deleted, consumers that are gone and
// hold nothing, and names of queues that are no more; and gives a TTL to states and completion streams
// that have none. A broker does so by itself, a part every 30 seconds.
func (a *Admin) Clean(ctx context.Context) error {
	return firstOf(a.all(func(_ int, s *shard) error { return s.cleaner.Clean(ctx) }))
}
