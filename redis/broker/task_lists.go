package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// ListTasks lists a page of a queue's tasks in one place (waiting, leased, delayed or dead), one shard
// after the other. next is the token of the next page, "" at the end. A page is limited in bytes as
// well: it may hold fewer tasks than requested, or none. job.ErrQueueNotFound.
func (a *Admin) ListTasks(ctx context.Context, l admin.TaskQuery) (tasks []admin.ListedTask, next string, err error) {
	if _, err := a.Queue(ctx, l.Queue); err != nil {
		return nil, "", err
	}
	return pages(a.shardSet, l.After, l.Count, func(s *shard, after string, count int) ([]admin.ListedTask, string, error) {
		l.After, l.Count = after, count
		return s.lists.Page(ctx, l)
	}, func(t *admin.ListedTask, i int) { t.Cursor = a.inShard(i, t.Cursor) })
}

// Pending lists a page of a group's leases in the order of their entries, one shard after the other: up
// to count of them after the Cursor of one, "" for the first page. A page with fewer than count is the
// last.
func (a *Admin) Pending(ctx context.Context, name, group, after string, count int) ([]queue.PendingInfo, error) {
	all, _, err := pages(a.shardSet, after, count, func(s *shard, after string, count int) ([]queue.PendingInfo, string, error) {
		list, err := s.locator.Pending(ctx, name, group, after, count)
		return list, nextOfFull(list, count, func(p queue.PendingInfo) string { return p.Cursor }), err
	}, func(p *queue.PendingInfo, i int) { p.Cursor = a.inShard(i, p.Cursor) })
	return all, err
}
