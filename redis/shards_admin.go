package redis

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Queues lists a page of the known queues with what they hold in all shards: Broker.Queues.
func (s *Shards) Queues(ctx context.Context, after string, count int) ([]QueueInfo, string, error) {
	lists := make([][]string, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
		lists[i], err = b.queueNames(ctx)
		return err
	})
	if err := firstOf(errs); err != nil {
		return nil, "", err
	}
	names := slices.Concat(lists...)
	slices.Sort(names)
	names, next, err := pageOfNames(slices.Compact(names), after, count)
	if err != nil {
		return nil, "", err
	}
	parts := make([][]QueueInfo, len(s.brokers))
	errs = s.all(func(i int, b *Broker) (err error) {
		parts[i], err = b.describeQueues(ctx, names)
		return err
	})
	return merge(parts, func(q QueueInfo) string { return q.Name }, addQueue), next, firstOf(errs)
}

// Queue describes a queue: Broker.Queue.
func (s *Shards) Queue(ctx context.Context, name string) (QueueInfo, error) {
	parts := make([][]QueueInfo, len(s.brokers))
	errs := s.all(func(i int, b *Broker) error {
		q, err := b.Queue(ctx, name)
		if err == nil {
			parts[i] = []QueueInfo{q}
		}
		return err
	})
	all := merge(parts, func(q QueueInfo) string { return q.Name }, addQueue)
	if err := s.unlessAll(errs, ErrQueueNotFound); err != nil {
		return QueueInfo{}, err
	}
	return all[0], nil
}

// unlessAll is the first of the errors, where some shards may lack what is looked for, but
// not all.
func (s *Shards) unlessAll(errs []error, missing error) error {
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

func addQueue(q *QueueInfo, other QueueInfo) {
	q.Waiting, q.Leased, q.Delayed, q.Dead = q.Waiting+other.Waiting, q.Leased+other.Leased, q.Delayed+other.Delayed, q.Dead+other.Dead
	q.Oldest, q.Paused = earlier(q.Oldest, other.Oldest), earlier(q.Paused, other.Paused)
	q.Groups = merge([][]GroupInfo{q.Groups, other.Groups}, func(g GroupInfo) string { return g.Name }, func(g *GroupInfo, other GroupInfo) {
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
func (s *Shards) Consumers(ctx context.Context, queue, group string) ([]ConsumerInfo, error) {
	parts := make([][]ConsumerInfo, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
		parts[i], err = b.Consumers(ctx, queue, group)
		return err
	})
	name := func(c ConsumerInfo) string { return c.Group + "\x00" + c.Name }
	all := merge(parts, name, func(c *ConsumerInfo, other ConsumerInfo) {
		c.Pending, c.Idle = c.Pending+other.Pending, min(c.Idle, other.Idle)
	})
	return all, s.unlessAll(errs, ErrQueueNotFound)
}

// shardSign stands between the number of a shard and what is meant in it.
const shardSign = ":"

// inShard names something of a shard in a list of all.
func inShard(i int, name string) string { return strconv.Itoa(i) + shardSign + name }

// parseInShard reads such a name.
func (s *Shards) parseInShard(name string) (shard int, inner string, ok bool) {
	number, inner, ok := strings.Cut(name, shardSign)
	i, err := strconv.Atoi(number)
	return i, inner, ok && err == nil && i >= 0 && i < len(s.brokers)
}

// pages lists a page of all shards, one after the other. List returns what a shard has after
// a token, and the token to go on with, "" at its end.
func pages[T any](s *Shards, after string, count int, list func(b *Broker, after string, count int) ([]T, string, error), name func(*T, int)) (all []T, next string, err error) {
	i, inner := 0, ""
	if after != "" {
		var ok bool
		if i, inner, ok = s.parseInShard(after); !ok {
			return nil, "", errPageToken
		}
	}
	for ; i < len(s.brokers); i, inner = i+1, "" {
		part, more, err := list(s.brokers[i], inner, count-len(all))
		if err != nil {
			return nil, "", err
		}
		for n := range part {
			name(&part[n], i)
		}
		if all = append(all, part...); more != "" {
			return all, inShard(i, more), nil
		}
		if len(all) >= count && i+1 < len(s.brokers) {
			return all, inShard(i+1, ""), nil
		}
	}
	return all, "", nil
}

// Pending lists a page of a group's leases: Broker.Pending.
func (s *Shards) Pending(ctx context.Context, queue, group, after string, count int) ([]PendingInfo, error) {
	all, _, err := pages(s, after, count, func(b *Broker, after string, count int) ([]PendingInfo, string, error) {
		list, err := b.Pending(ctx, queue, group, after, count)
		return list, fullPage(list, count, func(p PendingInfo) string { return p.Cursor }), err
	}, func(p *PendingInfo, i int) { p.Cursor = inShard(i, p.Cursor) })
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
func (s *Shards) DeadLetters(ctx context.Context, queue, after string, count int) ([]DeadLetter, error) {
	all, _, err := pages(s, after, count, func(b *Broker, after string, count int) ([]DeadLetter, string, error) {
		list, err := b.DeadLetters(ctx, queue, after, count)
		return list, fullPage(list, count, func(d DeadLetter) string { return d.ID }), err
	}, func(d *DeadLetter, i int) { d.ID = inShard(i, d.ID) })
	return all, err
}

// ListJobs lists jobs that have a state: Broker.ListJobs.
func (s *Shards) ListJobs(ctx context.Context, after string, count int) ([]JobSummary, string, error) {
	return pages(s, after, count, func(b *Broker, after string, count int) ([]JobSummary, string, error) {
		return b.ListJobs(ctx, after, count)
	}, func(*JobSummary, int) {})
}

// Redrive puts dead letters back into their queue: Broker.Redrive.
func (s *Shards) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return s.deadLetters(all, ids, func(b *Broker, ids []string) (int, error) { return b.Redrive(ctx, queue, all, ids) })
}

// DeleteDeadLetters removes dead letters: Broker.DeleteDeadLetters.
func (s *Shards) DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return s.deadLetters(all, ids, func(b *Broker, ids []string) (int, error) { return b.DeleteDeadLetters(ctx, queue, all, ids) })
}

// deadLetters does something with all dead letters, or with those of some ids.
func (s *Shards) deadLetters(all bool, ids []string, do func(b *Broker, ids []string) (int, error)) (int, error) {
	if err := checkLetters(all, ids); err != nil {
		return 0, err
	}
	parts := make([][]string, len(s.brokers))
	for _, id := range ids {
		i, inner, ok := s.parseInShard(id)
		if _, _, isID := splitCursor(inner); !ok || !isID {
			return 0, badLetter(id)
		}
		parts[i] = append(parts[i], inner)
	}
	counts := make([]int, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
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
func (s *Shards) Purge(ctx context.Context, queue string) (sum Purged, err error) {
	parts := make([]Purged, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
		parts[i], err = b.Purge(ctx, queue)
		return err
	})
	for _, p := range parts {
		sum.Waiting, sum.Delayed, sum.Leased = sum.Waiting+p.Waiting, sum.Delayed+p.Delayed, sum.Leased+p.Leased
	}
	return sum, s.unlessAll(errs, ErrQueueNotFound)
}

// CreateGroup creates a consumer group of a queue in all shards: Broker.CreateGroup.
func (s *Shards) CreateGroup(ctx context.Context, queue, group string) (created bool, err error) {
	isNew := make([]bool, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
		isNew[i], err = b.CreateGroup(ctx, queue, group)
		return err
	})
	return slices.Contains(isNew, true), firstOf(errs)
}

// DeleteGroup deletes a consumer group in all shards: Broker.DeleteGroup.
func (s *Shards) DeleteGroup(ctx context.Context, queue, group string, force bool) error {
	return s.unlessAll(s.all(func(_ int, b *Broker) error { return b.DeleteGroup(ctx, queue, group, force) }), ErrGroupNotFound)
}

// Pause stops the delivery of a queue's tasks: Broker.Pause.
func (s *Shards) Pause(ctx context.Context, queue string) error {
	return firstOf(s.all(func(_ int, b *Broker) error { return b.Pause(ctx, queue) }))
}

// Resume ends a pause: Broker.Resume.
func (s *Shards) Resume(ctx context.Context, queue string) error {
	return firstOf(s.all(func(_ int, b *Broker) error { return b.Resume(ctx, queue) }))
}
