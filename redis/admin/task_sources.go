package admin

import (
	"cmp"
	"context"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// taskSource is one key, or one group of a stream, that a list reads.
type taskSource struct {
	name string
	read readTasks
}

// readTasks reads count tasks after a cursor, "" from the first.
type readTasks func(ctx context.Context, after string, count int64) (taskPart, error)

// taskPart is what one read of a source found. The cursors are the source's own.
type taskPart struct {
	tasks []ListedTask
	last  string // cursor of the last entry, also when the entry was left out
	bytes int
	end   bool
}

// add adds a task with its cursor.
func (p *taskPart) add(place queue.Place, cursor string) {
	p.last = cursor
	p.tasks = append(p.tasks, ListedTask{Place: place, Cursor: cursor})
}

// sources are what a list reads, in the order of their names.
func (l *TaskLister) sources(ctx context.Context, query TaskQuery) ([]taskSource, error) {
	name := query.Queue
	switch query.Where {
	case queue.WhereWaiting:
		return []taskSource{{"1 stream", l.unread(name, query.Group)}, {"2 backlog", l.backlog(name)}}, nil
	case queue.WhereDelayed:
		return []taskSource{{"delayed", l.delayed(name)}}, nil
	case queue.WhereDead:
		return []taskSource{{"dead", l.dead(name)}}, nil
	case queue.WhereLeased:
		return l.leaseSources(ctx, name, query.Group)
	}
	return nil, job.Invalid("place", "must be WAITING, LEASED, DELAYED or DEAD")
}

// leaseSources are the groups of a queue, or one of them.
func (l *TaskLister) leaseSources(ctx context.Context, queue, group string) ([]taskSource, error) {
	groups, err := l.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var sources []taskSource
	for _, g := range groups {
		if group == "" || g.Name == group {
			sources = append(sources, taskSource{g.Name, l.leases(queue, g.Name)})
		}
	}
	slices.SortFunc(sources, func(a, b taskSource) int { return cmp.Compare(a.name, b.name) })
	return sources, nil
}

// unread reads what a group has not read, "" for the group that is furthest behind. Entries that only other groups
// get are left out.
func (l *TaskLister) unread(name, group string) readTasks {
	return func(ctx context.Context, after string, count int64) (taskPart, error) {
		groups, err := l.Groups(ctx, name)
		if err != nil {
			return taskPart{}, err
		}
		if group == "" {
			groups = l.CountingGroups(groups)
		} else {
			groups = slices.DeleteFunc(groups, func(g job.GroupInfo) bool { return g.Name != group })
		}
		if behind := furthestBehind(groups); behind != "" && (after == "" || job.CursorLess(after, behind)) {
			after = behind
		}
		return l.entries(ctx, l.Keys.Tasks(name), after, count, func(id string, fields map[string]string) (queue.Place, bool) {
			only := fields["argus_for_group"]
			place, _ := queue.PlaceOf(queue.WhereWaiting, id, fields)
			place.Group = only
			return place, group == "" || only == "" || only == group
		})
	}
}

// furthestBehind is the first of the last entries that were delivered to groups, "" when there are no groups.
func furthestBehind(groups []job.GroupInfo) string {
	behind := ""
	for _, g := range groups {
		if behind == "" || job.CursorLess(g.LastDelivered, behind) {
			behind = g.LastDelivered
		}
	}
	return behind
}

// dead reads dead letters.
func (l *TaskLister) dead(name string) readTasks {
	return func(ctx context.Context, after string, count int64) (taskPart, error) {
		return l.entries(ctx, l.Keys.DeadLetters(name), after, count, func(id string, fields map[string]string) (queue.Place, bool) {
			place, _ := queue.PlaceOf(queue.WhereDead, id, fields)
			place.Group = fields["argus_group"]
			return place, true
		})
	}
}

// entries reads entries of a stream. placeOf returns the place of an entry, and false when it is to be left out.
func (l *TaskLister) entries(ctx context.Context, stream, after string, count int64, placeOf func(id string, fields map[string]string) (queue.Place, bool)) (taskPart, error) {
	from, err := job.PageStart(after)
	if err != nil {
		return taskPart{}, err
	}
	entries, err := l.Commands.XRangeN(ctx, stream, from, "+", count).Result()
	if err != nil {
		return taskPart{}, conn.Translate("list tasks", err, conn.Repeatable)
	}
	part := taskPart{last: after, end: int64(len(entries)) < count}
	for _, entry := range entries {
		fields := job.TextFields(entry.Values)
		part.bytes += job.FieldsSize(fields)
		part.last = entry.ID
		if place, ok := placeOf(entry.ID, fields); ok {
			part.add(place, entry.ID)
		}
	}
	return part, nil
}

// leases reads what a group's consumers hold.
func (l *TaskLister) leases(queue, group string) readTasks {
	return func(ctx context.Context, after string, count int64) (taskPart, error) {
		pending, err := l.locator.Pending(ctx, queue, group, after, int(count))
		part := taskPart{last: after, end: int64(len(pending)) < count}
		for _, p := range pending {
			part.add(p.Place, p.Cursor)
		}
		return part, err
	}
}

// backlog reads the backlog of a fair queue. Its cursor is a member's head, which determines the
// member's place; the task itself could be large.
func (l *TaskLister) backlog(name string) readTasks {
	return func(ctx context.Context, after string, count int64) (taskPart, error) {
		from := "-"
		if after != "" {
			from = "(" + after + "\xff"
		}
		members, err := l.Commands.ZRangeByLex(ctx, l.Keys.Backlog(name), &goredis.ZRangeBy{Min: from, Max: "+", Count: count}).Result()
		if err != nil {
			return taskPart{}, conn.Translate("list tasks", err, conn.Repeatable)
		}
		part := taskPart{last: after, end: int64(len(members)) < count}
		for _, member := range members {
			part.bytes += len(member)
			place, _ := queue.MemberPlace(queue.WhereWaiting, member)
			part.add(place, backlogHead(member))
		}
		return part, nil
	}
}

// delayed reads delayed tasks by the time they are due.
func (l *TaskLister) delayed(name string) readTasks {
	return func(ctx context.Context, after string, count int64) (taskPart, error) {
		cursor, err := parseDue(after)
		if err != nil {
			return taskPart{}, err
		}
		members, err := l.Commands.ZRangeByScoreWithScores(ctx, l.Keys.Delayed(name),
			&goredis.ZRangeBy{Min: cursor.due, Max: "+inf", Offset: cursor.listed, Count: count}).Result()
		if err != nil {
			return taskPart{}, conn.Translate("list tasks", err, conn.Repeatable)
		}
		part := taskPart{last: after, end: int64(len(members)) < count}
		for _, m := range members {
			member, _ := m.Member.(string)
			cursor = cursor.next(m.Score)
			part.bytes += len(member)
			place, _ := queue.MemberPlace(queue.WhereDelayed, member)
			place.DueAt = time.UnixMilli(int64(m.Score))
			part.add(place, cursor.String())
		}
		return part, nil
	}
}
