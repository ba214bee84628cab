package broker

import (
	"slices"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// merge combines the items of all lists that have the same name, in the order of the names.
func merge[T any](parts [][]T, name func(T) string, add func(into *T, other T)) []T {
	var all []T
	for _, part := range parts {
		for _, item := range part {
			at := slices.IndexFunc(all, func(other T) bool { return name(other) == name(item) })
			if at < 0 {
				all = append(all, item)
			} else {
				add(&all[at], item)
			}
		}
	}
	slices.SortFunc(all, func(a, b T) int { return strings.Compare(name(a), name(b)) })
	return all
}

func mergeQueues(parts [][]admin.QueueInfo) []admin.QueueInfo {
	return merge(parts, func(q admin.QueueInfo) string { return q.Name }, func(q *admin.QueueInfo, other admin.QueueInfo) {
		q.Waiting, q.Leased, q.Delayed, q.Dead = q.Waiting+other.Waiting, q.Leased+other.Leased, q.Delayed+other.Delayed, q.Dead+other.Dead
		q.Oldest, q.Paused = earlier(q.Oldest, other.Oldest), earlier(q.Paused, other.Paused)
		q.Groups = mergeGroups([][]job.GroupInfo{q.Groups, other.Groups})
	})
}

func mergeGroups(parts [][]job.GroupInfo) []job.GroupInfo {
	return merge(parts, func(g job.GroupInfo) string { return g.Name }, func(g *job.GroupInfo, other job.GroupInfo) {
		g.Waiting, g.Pending, g.LastDelivered = g.Waiting+other.Waiting, g.Pending+other.Pending, ""
		g.Consumers = max(g.Consumers, other.Consumers) // each reads from all shards
		if g.Idle < 0 || other.Idle >= 0 && other.Idle < g.Idle {
			g.Idle = other.Idle
		}
		g.Unread = g.Unread || other.Unread
	})
}

func mergeConsumers(parts [][]admin.ConsumerInfo) []admin.ConsumerInfo {
	return merge(parts, func(c admin.ConsumerInfo) string { return c.Group + "\x00" + c.Name }, func(c *admin.ConsumerInfo, other admin.ConsumerInfo) {
		c.Pending, c.Idle = c.Pending+other.Pending, min(c.Idle, other.Idle)
	})
}

// earlier is the first of two times, of which a zero one does not count.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
