package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// QueueInfo is what a queue holds.
type QueueInfo struct {
	Name string
	// Waiting is how many tasks no worker has been given yet, in the group that has most of
	// them. The default group counts only once a worker has read with it, unless there is no
	// other.
	Waiting int64
	Leased  int64 // delivered and not settled, in all groups
	Delayed int64
	Dead    int64
	// Oldest is when the task that waits longest was published, of a fair queue when the
	// one whose turn it is; zero when none waits.
	Oldest time.Time
	// Paused is when the queue was paused; zero when it is not.
	Paused time.Time
	Groups []job.GroupInfo
}

// describeChunk is how many queues are looked at in one round trip; oldestChunk is how many
// tasks are read in one, which may be large.
const (
	describeChunk = 100
	oldestChunk   = 20
)

// Queues lists a page of the known queues in the order of their names: count of them behind
// one, "" for the first, and the name to go on behind, "" at the end. Those whose keys hold
// something else are left out.
func (q *Queues) List(ctx context.Context, after string, count int) (queues []QueueInfo, next string, err error) {
	names, err := q.QueueNames(ctx)
	if err != nil {
		return nil, "", err
	}
	names, next, err = PageOfNames(names, after, count)
	if err != nil {
		return nil, "", err
	}
	queues, err = q.Describe(ctx, names)
	return queues, next, err
}

// PageOfNames is a page of sorted names, and the name to go on behind.
func PageOfNames(names []string, after string, count int) (page []string, next string, err error) {
	if after != "" {
		if job.CheckQueue("", after) != nil {
			return nil, "", job.ErrPageToken
		}
		at, isThere := slices.BinarySearch(names, after)
		if isThere {
			at++
		}
		names = names[at:]
	}
	if len(names) <= count {
		return names, "", nil
	}
	return names[:count], names[count-1], nil
}

// Describe describes queues; those whose keys hold something else are left out.
func (qs *Queues) Describe(ctx context.Context, names []string) ([]QueueInfo, error) {
	var queues []QueueInfo
	for chunk := range slices.Chunk(names, describeChunk) {
		looks, err := qs.lookAt(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for i, l := range looks {
			q, err := l.info, l.err
			if err == nil && !l.isExact {
				q, err = qs.queue(ctx, q.Name)
			}
			if errors.Is(err, job.ErrKeyType) {
				qs.Log.Warn("a queue's key holds another type", "queue", chunk[i])
				continue
			}
			if err != nil {
				return nil, err
			}
			queues = append(queues, q)
		}
	}
	return queues, nil
}

// Queue describes a queue; "" is the default queue. ErrQueueNotFound when there is none.
func (queues *Queues) Get(ctx context.Context, name string) (QueueInfo, error) {
	name, err := queues.existingQueue(ctx, name)
	if err != nil {
		return QueueInfo{}, err
	}
	q, err := queues.queue(ctx, name)
	if err == nil {
		err = queues.inspectGroups(ctx, name, q.Groups)
	}
	return q, err
}

// existingQueue is the queue that a request means, if it is known.
func (q *Queues) existingQueue(ctx context.Context, name string) (string, error) {
	name, err := q.QueueName(name)
	if err != nil || q.Settings.IsNamed(name) {
		return name, err
	}
	pipe := q.Commands.Pipeline()
	isKnown, exists := pipe.SIsMember(ctx, q.Keys.Queues(), name), pipe.Exists(ctx, q.Keys.Tasks(name))
	_, err = pipe.Exec(ctx)
	if err == nil && !isKnown.Val() && exists.Val() == 0 {
		return name, job.ErrQueueNotFound
	}
	return name, conn.Translate("look for queue", err, conn.Repeatable)
}

// queue describes a queue. Where raw peers have left more settled entries than are counted
// one by one, it has them removed first, as the cleaner would.
func (q *Queues) queue(ctx context.Context, name string) (QueueInfo, error) {
	for isTrimmed := false; ; isTrimmed = true {
		looks, err := q.lookAt(ctx, []string{name})
		if err != nil {
			return QueueInfo{}, err
		}
		if l := looks[0]; l.err != nil || l.isExact || isTrimmed {
			return l.info, l.err
		}
		if err := q.trimmer.trim(ctx, name); err != nil {
			return QueueInfo{}, err
		}
	}
}

// queueLook is what was seen of a queue. The number of waiting tasks is too high where isExact
// is false.
type queueLook struct {
	info      QueueInfo
	length    int64 // of the stream
	hasStream bool
	backlog   int64
	isExact   bool
	err       error
}

// lookAt describes queues, most of it in three round trips.
func (q *Queues) lookAt(ctx context.Context, names []string) ([]*queueLook, error) {
	looks, err := q.countTasks(ctx, names)
	if err != nil {
		return nil, err
	}
	if err := q.countEntries(ctx, looks); err != nil {
		return nil, err
	}
	var oldest []*queueLook
	for _, l := range looks {
		if l.err == nil {
			l.err = q.countWaiting(ctx, l)
		}
		if l.err == nil && l.length > 0 {
			oldest = append(oldest, l)
		}
	}
	for chunk := range slices.Chunk(oldest, oldestChunk) {
		if err := q.findOldest(ctx, chunk); err != nil {
			return nil, err
		}
	}
	return looks, nil
}

// countTasks reads what Redis counts by itself, and the groups.
func (q *Queues) countTasks(ctx context.Context, names []string) ([]*queueLook, error) {
	type counts struct {
		groups                 *goredis.XInfoGroupsCmd
		delayed, backlog, dead *goredis.IntCmd
		paused                 *goredis.StringCmd
	}
	pipe, all := q.Commands.Pipeline(), make([]counts, len(names))
	for i, name := range names {
		all[i] = counts{groups: pipe.XInfoGroups(ctx, q.Keys.Tasks(name)), delayed: pipe.ZCard(ctx, q.Keys.Delayed(name)),
			backlog: pipe.ZCard(ctx, q.Keys.Backlog(name)), dead: pipe.XLen(ctx, q.Keys.DeadLetters(name)), paused: pipe.Get(ctx, q.Keys.Paused(name))}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	looks := make([]*queueLook, len(names))
	for i, c := range all {
		l := &queueLook{backlog: c.backlog.Val()}
		l.info = QueueInfo{Name: names[i], Delayed: c.delayed.Val(), Dead: c.dead.Val()}
		l.hasStream = !conn.IsNoKey(c.groups.Err())
		var err error
		l.info.Groups, err = conn.GroupInfos(c.groups)
		if ms, err := resp.Number(c.paused.Val()); err == nil {
			l.info.Paused = time.UnixMilli(ms)
		}
		paused := c.paused.Err()
		if errors.Is(paused, goredis.Nil) {
			paused = nil
		}
		for _, err := range []error{err, c.delayed.Err(), c.backlog.Err(), c.dead.Err(), paused} {
			if l.err == nil {
				l.err = conn.Translate("describe queue", err, conn.Repeatable)
			}
		}
		if l.err != nil && !errors.Is(l.err, job.ErrKeyType) {
			return nil, l.err
		}
		looks[i] = l
	}
	return looks, nil
}

// countEntries counts the entries of the streams that are there.
func (q *Queues) countEntries(ctx context.Context, looks []*queueLook) error {
	pipe, lengths := q.Commands.Pipeline(), make([]*goredis.IntCmd, len(looks))
	for i, l := range looks {
		if l.err == nil && l.hasStream {
			lengths[i] = pipe.XLen(ctx, q.Keys.Tasks(l.info.Name))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("describe queue", err, conn.Repeatable)
	}
	for i, l := range looks {
		if lengths[i] != nil {
			l.length = lengths[i].Val()
		}
	}
	return nil
}

// countWaiting counts what each group has still to read.
func (queues *Queues) countWaiting(ctx context.Context, l *queueLook) error {
	q := &l.info
	l.isExact = true
	for i := range q.Groups {
		g := &q.Groups[i]
		read, err := queues.delivered(ctx, q.Name, g, l.length)
		if err != nil {
			return err
		}
		l.isExact = l.isExact && read <= max(maxDelivered, g.Pending)
		g.Waiting = max(0, l.length-read) + l.backlog
		q.Leased += g.Pending
	}
	for _, g := range queues.CountingGroups(q.Groups) {
		q.Waiting = max(q.Waiting, g.Waiting)
	}
	if len(q.Groups) == 0 {
		q.Waiting = l.length + l.backlog
	}
	return nil
}

// findOldest finds out since when the tasks wait whose turn is next.
func (q *Queues) findOldest(ctx context.Context, looks []*queueLook) error {
	pipe, first := q.Commands.Pipeline(), make([]*goredis.XMessageSliceCmd, len(looks))
	for i, l := range looks {
		first[i] = pipe.XRangeN(ctx, q.Keys.Tasks(l.info.Name), q.UndeliveredFrom(l.info.Groups), "+", 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("describe queue", err, conn.Repeatable)
	}
	for i, l := range looks {
		for _, entry := range first[i].Val() {
			p, _ := queue.PlaceOf(queue.WhereWaiting, entry.ID, job.TextFields(entry.Values))
			l.info.Oldest = p.PublishedAt
		}
	}
	return nil
}

// maxDelivered is how many delivered entries of a stream are counted one by one.
const maxDelivered = 1000

// delivered counts the entries of a stream of some length that were delivered to a group:
// those that are pending, and those that raw peers acknowledged and left there. A group that
// has more than maxDelivered pending entries is taken to have no others; else counting stops
// beyond that number.
func (q *Queues) delivered(ctx context.Context, queue string, g *job.GroupInfo, length int64) (int64, error) {
	if length <= g.Pending || g.Pending > maxDelivered || g.LastDelivered == job.FirstCursor {
		return g.Pending, nil
	}
	n := int64(0)
	err := q.EachEntryIn(ctx, q.Keys.Tasks(queue), "-", g.LastDelivered, func(goredis.XMessage) bool {
		n++
		return n <= maxDelivered
	})
	return n, err
}

// unreadPeriod is after how long without a reader a group that tasks wait for is said to be
// unread.
const unreadPeriod = 10 * time.Minute

// inspectGroups finds out which of a queue's groups have readers.
func (q *Queues) inspectGroups(ctx context.Context, queue string, groups []job.GroupInfo) error {
	pipe, stream := q.Commands.Pipeline(), q.Keys.Tasks(queue)
	consumers, waiting := make([]*goredis.XInfoConsumersCmd, len(groups)), make([]*goredis.XMessageSliceCmd, len(groups))
	for i, g := range groups {
		consumers[i] = pipe.XInfoConsumers(ctx, stream, g.Name)
		waiting[i] = pipe.XRangeN(ctx, stream, job.CursorAfter(g.LastDelivered), "+", 1)
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !conn.IsNoKey(err) {
		return conn.Translate("describe groups", err, conn.Repeatable)
	}
	counting := q.CountingGroups(groups)
	for i := range groups {
		g := &groups[i]
		for n, c := range consumers[i].Val() {
			if n == 0 || c.Idle < g.Idle {
				g.Idle = max(0, c.Idle)
			}
		}
		holds := slices.ContainsFunc(counting, func(c job.GroupInfo) bool { return c.Name == g.Name })
		for _, entry := range waiting[i].Val() {
			g.Unread = holds && (g.Idle < 0 || g.Idle >= unreadPeriod) && time.Since(job.EntryTime(entry.ID)) >= unreadPeriod
		}
	}
	return nil
}
