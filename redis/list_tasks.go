package redis

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
)

// TaskList asks for a page of a queue's tasks.
type TaskList struct {
	Queue string // "" is the default queue
	Where Where
	// Group limits WhereWaiting to what this group has not read, and WhereLeased to what
	// its consumers have; "" is any group.
	Group string
	After string // a Cursor, or the token of the page before; "" for the first page
	Count int    // at most
}

// ListedTask is a task in a list; of its Task only the job and the part are given.
type ListedTask struct {
	Place
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
func (b *Broker) Tasks(ctx context.Context, l TaskList) (tasks []ListedTask, next string, err error) {
	if _, err := b.existingQueue(ctx, l.Queue); err != nil {
		return nil, "", err
	}
	return b.tasksHere(ctx, l)
}

// Tasks lists a page of all shards, one shard after the other: Broker.Tasks.
func (s *Shards) Tasks(ctx context.Context, l TaskList) (tasks []ListedTask, next string, err error) {
	if _, err := s.Queue(ctx, l.Queue); err != nil {
		return nil, "", err
	}
	return pages(s, l.After, l.Count, func(b *Broker, after string, count int) ([]ListedTask, string, error) {
		l.After, l.Count = after, count
		return b.tasksHere(ctx, l)
	}, func(t *ListedTask, i int) { t.Cursor = inShard(i, t.Cursor) })
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

// tasksHere reads the sources of a list, one after the other.
func (b *Broker) tasksHere(ctx context.Context, l TaskList) (tasks []ListedTask, next string, err error) {
	queue, err := b.queueName(l.Queue)
	if err != nil {
		return nil, "", err
	}
	sources, err := b.taskSources(ctx, queue, l)
	if err != nil {
		return nil, "", err
	}
	i, after, err := findSource(sources, l.After)
	if err != nil {
		return nil, "", err
	}
	var page pageSize
	for bytes := 0; i < len(sources); {
		count := min(page.next(), int64(l.Count-len(tasks)))
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
		page.read(part.bytes)
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
	t.Task = Task{JobID: t.Task.JobID, Part: t.Task.Part}
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
	text, err := strictBase64.DecodeString(token)
	source, after, ok := strings.Cut(string(text), "\x00")
	if err != nil || !ok {
		return 0, "", errPageToken
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
func (b *Broker) taskSources(ctx context.Context, queue string, l TaskList) ([]taskSource, error) {
	switch l.Where {
	case WhereWaiting:
		return []taskSource{
			{"1 stream", func(ctx context.Context, after string, count int64) (taskPart, error) {
				return b.listUnread(ctx, queue, l.Group, after, count)
			}},
			{"2 backlog", func(ctx context.Context, after string, count int64) (taskPart, error) {
				return b.listBacklog(ctx, queue, after, count)
			}},
		}, nil
	case WhereDelayed:
		return []taskSource{{"delayed", func(ctx context.Context, after string, count int64) (taskPart, error) {
			return b.listDelayed(ctx, queue, after, count)
		}}}, nil
	case WhereDead:
		return []taskSource{{"dead", func(ctx context.Context, after string, count int64) (taskPart, error) {
			return b.listEntries(ctx, WhereDead, b.keys.deadLetters(queue), after, count, "")
		}}}, nil
	case WhereLeased:
		return b.leaseSources(ctx, queue, l.Group)
	}
	return nil, invalid("place", "must be WAITING, LEASED, DELAYED or DEAD")
}

func (b *Broker) leaseSources(ctx context.Context, queue, group string) ([]taskSource, error) {
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var sources []taskSource
	for _, g := range groups {
		if group != "" && g.Name != group {
			continue
		}
		sources = append(sources, taskSource{g.Name, func(ctx context.Context, after string, count int64) (taskPart, error) {
			return b.listLeases(ctx, queue, g.Name, after, count)
		}})
	}
	slices.SortFunc(sources, func(a, b taskSource) int { return cmp.Compare(a.name, b.name) })
	return sources, nil
}

// listUnread lists what a group has not read, "" for the group that is furthest behind.
func (b *Broker) listUnread(ctx context.Context, queue, group, after string, count int64) (taskPart, error) {
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return taskPart{}, err
	}
	behind, found := "", false
	if group == "" {
		groups = b.countingGroups(groups)
	}
	for _, g := range groups {
		if (group == "" || g.Name == group) && (!found || cursorLess(g.LastDelivered, behind)) {
			behind, found = g.LastDelivered, true
		}
	}
	if found && (after == "" || cursorLess(after, behind)) {
		after = behind
	}
	return b.listEntries(ctx, WhereWaiting, b.keys.tasks(queue), after, count, group)
}

// listEntries lists entries of a stream. With a group, those that only other groups get are
// left out.
func (b *Broker) listEntries(ctx context.Context, where Where, stream, after string, count int64, group string) (taskPart, error) {
	from, err := pageStart(after)
	if err != nil {
		return taskPart{}, err
	}
	entries, err := b.client.commands.XRangeN(ctx, stream, from, "+", count).Result()
	if err != nil {
		return taskPart{}, translate("list tasks", err, repeatable)
	}
	part := taskPart{last: after, end: int64(len(entries)) < count}
	for _, entry := range entries {
		fields := textFields(entry.Values)
		part.last = entry.ID
		part.bytes += fieldBytes(fields)
		only := fields["argus_for_group"]
		if group != "" && only != "" && only != group {
			continue
		}
		p, _ := placeOf(where, entry.ID, fields)
		if p.Group = only; where == WhereDead {
			p.Group = fields["argus_group"]
		}
		part.tasks = append(part.tasks, ListedTask{Place: p, Cursor: entry.ID})
	}
	return part, nil
}

func fieldBytes(fields map[string]string) (bytes int) {
	for name, value := range fields {
		bytes += len(name) + len(value)
	}
	return bytes
}

func (b *Broker) listLeases(ctx context.Context, queue, group, after string, count int64) (taskPart, error) {
	pending, err := b.Pending(ctx, queue, group, after, int(count))
	part := taskPart{last: after, end: int64(len(pending)) < count}
	for _, p := range pending {
		part.last = p.Cursor
		part.tasks = append(part.tasks, ListedTask{Place: p.Place, Cursor: p.Cursor})
	}
	return part, err
}

// listBacklog lists the backlog of a fair queue. Its cursor is a member's head, which says
// whose turn it is and in which order it came; the task itself could be large.
func (b *Broker) listBacklog(ctx context.Context, queue, after string, count int64) (taskPart, error) {
	from := "-"
	if after != "" {
		from = "(" + after + "\xff"
	}
	members, err := b.client.commands.ZRangeByLex(ctx, b.keys.backlog(queue), &goredis.ZRangeBy{Min: from, Max: "+", Count: count}).Result()
	if err != nil {
		return taskPart{}, translate("list tasks", err, repeatable)
	}
	part := taskPart{last: after, end: int64(len(members)) < count}
	for _, member := range members {
		part.bytes += len(member)
		part.last = backlogHead(member)
		p, _ := memberPlace(WhereWaiting, member)
		part.tasks = append(part.tasks, ListedTask{Place: p, Cursor: part.last})
	}
	return part, nil
}

// listDelayed lists delayed tasks by the time they are due. Its cursor is that time, and how
// many of the tasks that are due then were listed.
func (b *Broker) listDelayed(ctx context.Context, queue, after string, count int64) (taskPart, error) {
	due, listed, err := parseDue(after)
	if err != nil {
		return taskPart{}, err
	}
	members, err := b.client.commands.ZRangeByScoreWithScores(ctx, b.keys.delayed(queue),
		&goredis.ZRangeBy{Min: due, Max: "+inf", Offset: listed, Count: count}).Result()
	if err != nil {
		return taskPart{}, translate("list tasks", err, repeatable)
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
		p, _ := memberPlace(WhereDelayed, member)
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
	listed, err2 := number(text)
	if errors.Join(err1, err2) != nil || listed < 0 {
		return "", 0, errPageToken
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
