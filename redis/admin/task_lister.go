package admin

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// TaskLister lists the tasks of queues.
type TaskLister struct {
	*conn.Shard
	locator *queue.Locator
}

// NewTaskLister returns a lister of a shard's tasks.
func NewTaskLister(shard *conn.Shard, locator *queue.Locator) *TaskLister {
	return &TaskLister{shard, locator}
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
	// Cursor is the place where a list continues after it.
	Cursor string
}

const (
	// listBytes is about how many bytes a page reads from Redis.
	listBytes = 4 << 20
	// listReason is how many bytes of a reason a list gives.
	listReason = 4 << 10
)

// Page lists a page of a queue's tasks, and returns the token of the next page, "" at the end. A page
// may hold fewer tasks than asked for, or none. It does not check that the queue exists.
func (l *TaskLister) Page(ctx context.Context, query TaskQuery) (tasks []ListedTask, next string, err error) {
	name, err := l.QueueName(query.Queue)
	if err != nil {
		return nil, "", err
	}
	query.Queue = name
	sources, err := l.sources(ctx, query)
	if err != nil {
		return nil, "", err
	}
	i, after, err := findSource(sources, query.After)
	if err != nil {
		return nil, "", err
	}
	var page conn.PageSize
	for bytes := 0; i < len(sources); {
		count := min(page.Next(), int64(query.Count-len(tasks)))
		if count <= 0 || bytes > listBytes {
			return tasks, listToken(sources[i].name, after), nil
		}
		part, err := sources[i].read(ctx, after, count)
		if err != nil {
			return nil, "", err
		}
		for _, task := range part.tasks {
			tasks = append(tasks, task.inList(name, sources[i].name))
		}
		page.Read(part.bytes)
		bytes += part.bytes
		if after = part.last; part.end {
			i, after = i+1, ""
		}
	}
	return tasks, "", nil
}

// inList removes what a list does not give, and makes the source's cursor the list's.
func (t ListedTask) inList(queue, source string) ListedTask {
	t.Queue, t.Cursor = queue, listToken(source, t.Cursor)
	t.Task = job.Task{JobID: t.Task.JobID, Part: t.Task.Part}
	if len(t.Reason) > listReason {
		t.Reason = t.Reason[:listReason] + "…"
	}
	return t
}
