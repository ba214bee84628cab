package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// TaskLister lists the tasks of queues.
type TaskLister struct {
	*conn.Shard
	queues  *Queues
	locator *queue.Locator
}

// NewTaskLister returns one.
func NewTaskLister(shard *conn.Shard, queues *Queues, locator *queue.Locator) *TaskLister {
	return &TaskLister{shard, queues, locator}
}

// TaskQuery asks for a page of a queue's tasks.
type TaskQuery struct {
	Queue string // "" is the default queue
	Where queue.Where
	// Group limits WhereWaiting to what this group has not read, and WhereLeased to what
	// its consumers have; "" is any group.
	Group string
	After string // a Cursor, or the token of the page before; "" for the first page
	Count int    // at most
}

// ListedTask is a task in a list; of its Task only the job and the part are given.
type ListedTask struct {
	queue.Place
	// Cursor is where a list goes on after it.
	Cursor string
}

// How much a page reads from Redis, about, and how much of a reason it gives.
const (
	listBytes  = 4 << 20
	listReason = 4 << 10
)

// Tasks lists a page of a queue's tasks, and the token to go on with, "" at the end. A page
// may hold fewer tasks than asked for, or none. ErrQueueNotFound when there is no such queue.
func (lists *TaskLister) Tasks(ctx context.Context, l TaskQuery) (tasks []ListedTask, next string, err error) {
	if _, err := lists.queues.existingQueue(ctx, l.Queue); err != nil {
		return nil, "", err
	}
	return lists.Page(ctx, l)
}

// taskSource is one key, or one group of a stream, that a list reads.
type taskSource struct {
	name string
	read func(ctx context.Context, after string, count int64) (taskPart, error)
}

// taskPart is what one read of a source found. The cursors are the source's own.
type taskPart struct {
	tasks []ListedTask
	last  string // where to go on, also when the last entries were left out
	bytes int
	end   bool
}

// Page reads the sources of a list, one after the other.
func (lists *TaskLister) Page(ctx context.Context, l TaskQuery) (tasks []ListedTask, next string, err error) {
	queue, err := lists.QueueName(l.Queue)
	if err != nil {
		return nil, "", err
	}
	sources, err := lists.taskSources(ctx, queue, l)
	if err != nil {
		return nil, "", err
	}
	i, after, err := findSource(sources, l.After)
	if err != nil {
		return nil, "", err
	}
	var page conn.PageSize
	for bytes := 0; i < len(sources); {
		count := min(page.Next(), int64(l.Count-len(tasks)))
		if count <= 0 || bytes > listBytes {
			return tasks, listToken(sources[i].name, after), nil
		}
		part, err := sources[i].read(ctx, after, count)
		if err != nil {
			return nil, "", err
		}
		for _, t := range part.tasks {
			tasks = append(tasks, t.inList(queue, sources[i].name))
		}
		page.Read(part.bytes)
		bytes += part.bytes
		if after = part.last; part.end {
			i, after = i+1, ""
		}
	}
	return tasks, "", nil
}

// inList leaves out what a list does not give, and makes the cursor the list's.
func (t ListedTask) inList(queue, source string) ListedTask {
	t.Queue, t.Cursor = queue, listToken(source, t.Cursor)
	t.Task = job.Task{JobID: t.Task.JobID, Part: t.Task.Part}
	if len(t.Reason) > listReason {
		t.Reason = t.Reason[:listReason] + "…"
	}
	return t
}

// listToken is the place of a list after a source's cursor.
func listToken(source, after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(source + "\x00" + after))
}

// findSource is where a list goes on. A group that is gone since is passed over.
func findSource(sources []taskSource, token string) (i int, after string, err error) {
	if token == "" {
		return 0, "", nil
	}
	text, err := job.StrictBase64.DecodeString(token)
	source, after, ok := strings.Cut(string(text), "\x00")
	if err != nil || !ok {
		return 0, "", job.ErrPageToken
	}
	i = slices.IndexFunc(sources, func(s taskSource) bool { return s.name >= source })
	switch {
	case i < 0:
		return len(sources), "", nil
	case sources[i].name != source:
		return i, "", nil
	}
	return i, after, nil
}

// taskSources are what a list reads, in the order of their names.
func (lists *TaskLister) taskSources(ctx context.Context, name string, l TaskQuery) ([]taskSource, error) {
	switch l.Where {
	case queue.WhereWaiting:
		return []taskSource{
			{"1 stream", func(ctx context.Context, after string, count int64) (taskPart, error) {
				return lists.listUnread(ctx, name, l.Group, after, count)
			}},
			{"2 backlog", func(ctx context.Context, after string, count int64) (taskPart, error) {
				return lists.listBacklog(ctx, name, after, count)
			}},
		}, nil
	case queue.WhereDelayed:
		return []taskSource{{"delayed", func(ctx context.Context, after string, count int64) (taskPart, error) {
			return lists.listDelayed(ctx, name, after, count)
		}}}, nil
	case queue.WhereDead:
		return []taskSource{{"dead", func(ctx context.Context, after string, count int64) (taskPart, error) {
			return lists.listEntries(ctx, queue.WhereDead, lists.Keys.DeadLetters(name), after, count, "")
		}}}, nil
	case queue.WhereLeased:
		return lists.leaseSources(ctx, name, l.Group)
	}
	return nil, job.Invalid("place", "must be WAITING, LEASED, DELAYED or DEAD")
}

func (l *TaskLister) leaseSources(ctx context.Context, queue, group string) ([]taskSource, error) {
	groups, err := l.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var sources []taskSource
	for _, g := range groups {
		if group != "" && g.Name != group {
			continue
		}
		sources = append(sources, taskSource{g.Name, func(ctx context.Context, after string, count int64) (taskPart, error) {
			return l.listLeases(ctx, queue, g.Name, after, count)
		}})
	}
	slices.SortFunc(sources, func(a, b taskSource) int { return cmp.Compare(a.name, b.name) })
	return sources, nil
}

// listUnread lists what a group has not read, "" for the group that is furthest behind.
func (l *TaskLister) listUnread(ctx context.Context, name, group, after string, count int64) (taskPart, error) {
	groups, err := l.Groups(ctx, name)
	if err != nil {
		return taskPart{}, err
	}
	behind, found := "", false
	if group == "" {
		groups = l.CountingGroups(groups)
	}
	for _, g := range groups {
		if (group == "" || g.Name == group) && (!found || job.CursorLess(g.LastDelivered, behind)) {
			behind, found = g.LastDelivered, true
		}
	}
	if found && (after == "" || job.CursorLess(after, behind)) {
		after = behind
	}
	return l.listEntries(ctx, queue.WhereWaiting, l.Keys.Tasks(name), after, count, group)
}

// listEntries lists entries of a stream. With a group, those that only other groups get are
// left out.
func (l *TaskLister) listEntries(ctx context.Context, where queue.Where, stream, after string, count int64, group string) (taskPart, error) {
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
		part.last = entry.ID
		part.bytes += job.FieldBytes(fields)
		only := fields["argus_for_group"]
		if group != "" && only != "" && only != group {
			continue
		}
		p, _ := queue.PlaceOf(where, entry.ID, fields)
		if p.Group = only; where == queue.WhereDead {
			p.Group = fields["argus_group"]
		}
		part.tasks = append(part.tasks, ListedTask{Place: p, Cursor: entry.ID})
	}
	return part, nil
}

func (l *TaskLister) listLeases(ctx context.Context, queue, group, after string, count int64) (taskPart, error) {
	pending, err := l.locator.Pending(ctx, queue, group, after, int(count))
	part := taskPart{last: after, end: int64(len(pending)) < count}
	for _, p := range pending {
		part.last = p.Cursor
		part.tasks = append(part.tasks, ListedTask{Place: p.Place, Cursor: p.Cursor})
	}
	return part, err
}

// listBacklog lists the backlog of a fair queue. Its cursor is a member's head, which says
// whose turn it is and in which order it came; the task itself could be large.
func (l *TaskLister) listBacklog(ctx context.Context, name, after string, count int64) (taskPart, error) {
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
		part.last = backlogHead(member)
		p, _ := queue.MemberPlace(queue.WhereWaiting, member)
		part.tasks = append(part.tasks, ListedTask{Place: p, Cursor: part.last})
	}
	return part, nil
}

// listDelayed lists delayed tasks by the time they are due. Its cursor is that time, and how
// many of the tasks that are due then were listed.
func (l *TaskLister) listDelayed(ctx context.Context, name, after string, count int64) (taskPart, error) {
	due, listed, err := parseDue(after)
	if err != nil {
		return taskPart{}, err
	}
	members, err := l.Commands.ZRangeByScoreWithScores(ctx, l.Keys.Delayed(name),
		&goredis.ZRangeBy{Min: due, Max: "+inf", Offset: listed, Count: count}).Result()
	if err != nil {
		return taskPart{}, conn.Translate("list tasks", err, conn.Repeatable)
	}
	part := taskPart{last: after, end: int64(len(members)) < count}
	for _, m := range members {
		member, _ := m.Member.(string)
		score := strconv.FormatFloat(m.Score, 'f', -1, 64)
		if score != due {
			due, listed = score, 0
		}
		listed++
		part.bytes += len(member)
		part.last = due + " " + strconv.FormatInt(listed, 10)
		p, _ := queue.MemberPlace(queue.WhereDelayed, member)
		p.DueAt = time.UnixMilli(int64(m.Score))
		part.tasks = append(part.tasks, ListedTask{Place: p, Cursor: part.last})
	}
	return part, nil
}

// parseDue reads a cursor of the delayed tasks.
func parseDue(cursor string) (due string, listed int64, err error) {
	if cursor == "" {
		return "-inf", 0, nil
	}
	due, text, _ := strings.Cut(cursor, " ")
	_, err1 := strconv.ParseFloat(due, 64)
	listed, err2 := resp.Number(text)
	if errors.Join(err1, err2) != nil || listed < 0 {
		return "", 0, job.ErrPageToken
	}
	return due, listed, nil
}

// backlogHead is the part of a member by which it stands in its place; a member that is not
// in the form of one is cut off instead.
func backlogHead(member string) string {
	const most, sequence = 1 << 10, 1 + 14
	length, rest, ok := strings.Cut(member, ":")
	n, err := strconv.Atoi(length)
	if !ok || err != nil || n < 0 || n > len(rest)-sequence {
		return member[:min(len(member), most)]
	}
	return member[:len(length)+1+n+sequence]
}
