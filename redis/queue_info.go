package redis

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
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
	Groups []GroupInfo
}

// GroupInfo is a consumer group.
type GroupInfo struct {
	Name string
	// Waiting is how many tasks it has not read.
	Waiting       int64
	Pending       int64
	Consumers     int64
	LastDelivered string
	// Idle is how long ago one of its consumers last asked for work, negative when it has none.
	// Unread: tasks have waited for it for unreadPeriod, and no consumer asked meanwhile. Only
	// Queue tells these.
	Idle   time.Duration
	Unread bool
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
func (b *Broker) Queues(ctx context.Context, after string, count int) (queues []QueueInfo, next string, err error) {
	names, err := b.queueNames(ctx)
	if err != nil {
		return nil, "", err
	}
	names, next, err = pageOfNames(names, after, count)
	if err != nil {
		return nil, "", err
	}
	queues, err = b.describeQueues(ctx, names)
	return queues, next, err
}

// pageOfNames is a page of sorted names, and the name to go on behind.
func pageOfNames(names []string, after string, count int) (page []string, next string, err error) {
	if after != "" {
		if CheckQueue("", after) != nil {
			return nil, "", errPageToken
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

// describeQueues describes queues; those whose keys hold something else are left out.
func (b *Broker) describeQueues(ctx context.Context, names []string) ([]QueueInfo, error) {
	var queues []QueueInfo
	for chunk := range slices.Chunk(names, describeChunk) {
		looks, err := b.lookAt(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for i, l := range looks {
			q, err := l.info, l.err
			if err == nil && !l.isExact {
				q, err = b.queue(ctx, q.Name)
			}
			if errors.Is(err, ErrKeyType) {
				b.log.Warn("a queue's key holds another type", "queue", chunk[i])
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
func (b *Broker) Queue(ctx context.Context, name string) (QueueInfo, error) {
	name, err := b.existingQueue(ctx, name)
	if err != nil {
		return QueueInfo{}, err
	}
	q, err := b.queue(ctx, name)
	if err == nil {
		err = b.inspectGroups(ctx, name, q.Groups)
	}
	return q, err
}

// existingQueue is the queue that a request means, if it is known.
func (b *Broker) existingQueue(ctx context.Context, name string) (string, error) {
	name, err := b.queueName(name)
	if err != nil || b.config.isNamed(name) {
		return name, err
	}
	pipe := b.client.commands.Pipeline()
	isKnown, exists := pipe.SIsMember(ctx, b.keys.queues(), name), pipe.Exists(ctx, b.keys.tasks(name))
	_, err = pipe.Exec(ctx)
	if err == nil && !isKnown.Val() && exists.Val() == 0 {
		return name, ErrQueueNotFound
	}
	return name, translate("look for queue", err, repeatable)
}

// queue describes a queue. Where raw peers have left more settled entries than are counted
// one by one, it has them removed first, as the cleaner would.
func (b *Broker) queue(ctx context.Context, name string) (QueueInfo, error) {
	for isTrimmed := false; ; isTrimmed = true {
		looks, err := b.lookAt(ctx, []string{name})
		if err != nil {
			return QueueInfo{}, err
		}
		if l := looks[0]; l.err != nil || l.isExact || isTrimmed {
			return l.info, l.err
		}
		if err := b.trim(ctx, name); err != nil {
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
func (b *Broker) lookAt(ctx context.Context, names []string) ([]*queueLook, error) {
	looks, err := b.countTasks(ctx, names)
	if err != nil {
		return nil, err
	}
	if err := b.countEntries(ctx, looks); err != nil {
		return nil, err
	}
	var oldest []*queueLook
	for _, l := range looks {
		if l.err == nil {
			l.err = b.countWaiting(ctx, l)
		}
		if l.err == nil && l.length > 0 {
			oldest = append(oldest, l)
		}
	}
	for chunk := range slices.Chunk(oldest, oldestChunk) {
		if err := b.findOldest(ctx, chunk); err != nil {
			return nil, err
		}
	}
	return looks, nil
}

// countTasks reads what Redis counts by itself, and the groups.
func (b *Broker) countTasks(ctx context.Context, names []string) ([]*queueLook, error) {
	type counts struct {
		groups                 *goredis.XInfoGroupsCmd
		delayed, backlog, dead *goredis.IntCmd
		paused                 *goredis.StringCmd
	}
	pipe, all := b.client.commands.Pipeline(), make([]counts, len(names))
	for i, name := range names {
		all[i] = counts{groups: pipe.XInfoGroups(ctx, b.keys.tasks(name)), delayed: pipe.ZCard(ctx, b.keys.delayed(name)),
			backlog: pipe.ZCard(ctx, b.keys.backlog(name)), dead: pipe.XLen(ctx, b.keys.deadLetters(name)), paused: pipe.Get(ctx, b.keys.paused(name))}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	looks := make([]*queueLook, len(names))
	for i, c := range all {
		l := &queueLook{backlog: c.backlog.Val()}
		l.info = QueueInfo{Name: names[i], Delayed: c.delayed.Val(), Dead: c.dead.Val()}
		l.hasStream = !isNoKey(c.groups.Err())
		var err error
		l.info.Groups, err = groupInfos(c.groups)
		if ms, err := number(c.paused.Val()); err == nil {
			l.info.Paused = time.UnixMilli(ms)
		}
		paused := c.paused.Err()
		if errors.Is(paused, goredis.Nil) {
			paused = nil
		}
		for _, err := range []error{err, c.delayed.Err(), c.backlog.Err(), c.dead.Err(), paused} {
			if l.err == nil {
				l.err = translate("describe queue", err, repeatable)
			}
		}
		if l.err != nil && !errors.Is(l.err, ErrKeyType) {
			return nil, l.err
		}
		looks[i] = l
	}
	return looks, nil
}

// countEntries counts the entries of the streams that are there.
func (b *Broker) countEntries(ctx context.Context, looks []*queueLook) error {
	pipe, lengths := b.client.commands.Pipeline(), make([]*goredis.IntCmd, len(looks))
	for i, l := range looks {
		if l.err == nil && l.hasStream {
			lengths[i] = pipe.XLen(ctx, b.keys.tasks(l.info.Name))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return translate("describe queue", err, repeatable)
	}
	for i, l := range looks {
		if lengths[i] != nil {
			l.length = lengths[i].Val()
		}
	}
	return nil
}

// countWaiting counts what each group has still to read.
func (b *Broker) countWaiting(ctx context.Context, l *queueLook) error {
	q := &l.info
	l.isExact = true
	for i := range q.Groups {
		g := &q.Groups[i]
		read, err := b.delivered(ctx, q.Name, g, l.length)
		if err != nil {
			return err
		}
		l.isExact = l.isExact && read <= max(maxDelivered, g.Pending)
		g.Waiting = max(0, l.length-read) + l.backlog
		q.Leased += g.Pending
	}
	for _, g := range b.countingGroups(q.Groups) {
		q.Waiting = max(q.Waiting, g.Waiting)
	}
	if len(q.Groups) == 0 {
		q.Waiting = l.length + l.backlog
	}
	return nil
}

// findOldest finds out since when the tasks wait whose turn is next.
func (b *Broker) findOldest(ctx context.Context, looks []*queueLook) error {
	pipe, first := b.client.commands.Pipeline(), make([]*goredis.XMessageSliceCmd, len(looks))
	for i, l := range looks {
		first[i] = pipe.XRangeN(ctx, b.keys.tasks(l.info.Name), b.undeliveredFrom(l.info.Groups), "+", 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return translate("describe queue", err, repeatable)
	}
	for i, l := range looks {
		for _, entry := range first[i].Val() {
			p, _ := placeOf(WhereWaiting, entry.ID, textFields(entry.Values))
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
func (b *Broker) delivered(ctx context.Context, queue string, g *GroupInfo, length int64) (int64, error) {
	if length <= g.Pending || g.Pending > maxDelivered || g.LastDelivered == firstCursor {
		return g.Pending, nil
	}
	n := int64(0)
	err := b.eachEntryIn(ctx, b.keys.tasks(queue), "-", g.LastDelivered, func(goredis.XMessage) bool {
		n++
		return n <= maxDelivered
	})
	return n, err
}

// countingGroups leaves out the default group where no consumer has ever read with it and
// others have consumers: there it is only a place for raw workers to start from. See
// counting_groups in lua/prelude.lua.
func (b *Broker) countingGroups(groups []GroupInfo) []GroupInfo {
	isUnused := func(g GroupInfo) bool {
		return g.Name == b.config.DefaultGroup && g.Consumers == 0 && g.LastDelivered == firstCursor
	}
	if !slices.ContainsFunc(groups, func(g GroupInfo) bool { return g.Consumers > 0 }) {
		return groups
	}
	return slices.DeleteFunc(slices.Clone(groups), isUnused)
}

// undeliveredFrom is where the entries of a stream begin that some group has still to read.
func (b *Broker) undeliveredFrom(groups []GroupInfo) string {
	from := ""
	for _, g := range b.countingGroups(groups) {
		if from == "" || cursorLess(g.LastDelivered, from) {
			from = g.LastDelivered
		}
	}
	if from == "" {
		return "-"
	}
	return cursorAfter(from)
}

// groups lists a queue's consumer groups; none when there is no stream.
func (b *Broker) groups(ctx context.Context, queue string) ([]GroupInfo, error) {
	groups, err := groupInfos(b.client.commands.XInfoGroups(ctx, b.keys.tasks(queue)))
	return groups, translate("list groups", err, repeatable)
}

// groupInfos reads the reply of XINFO GROUPS.
func groupInfos(reply *goredis.XInfoGroupsCmd) ([]GroupInfo, error) {
	list, err := reply.Result()
	if isNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	groups := make([]GroupInfo, len(list))
	for i, g := range list {
		groups[i] = GroupInfo{Name: g.Name, Pending: g.Pending, Consumers: g.Consumers, LastDelivered: g.LastDeliveredID, Idle: -1}
		if g.LastDeliveredID == "" || g.LastDeliveredID == "0" { // miniredis
			groups[i].LastDelivered = firstCursor
		}
	}
	return groups, nil
}

// unreadPeriod is after how long without a reader a group that tasks wait for is said to be
// unread.
const unreadPeriod = 10 * time.Minute

// inspectGroups finds out which of a queue's groups have readers.
func (b *Broker) inspectGroups(ctx context.Context, queue string, groups []GroupInfo) error {
	pipe, stream := b.client.commands.Pipeline(), b.keys.tasks(queue)
	consumers, waiting := make([]*goredis.XInfoConsumersCmd, len(groups)), make([]*goredis.XMessageSliceCmd, len(groups))
	for i, g := range groups {
		consumers[i] = pipe.XInfoConsumers(ctx, stream, g.Name)
		waiting[i] = pipe.XRangeN(ctx, stream, cursorAfter(g.LastDelivered), "+", 1)
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !isNoKey(err) {
		return translate("describe groups", err, repeatable)
	}
	counting := b.countingGroups(groups)
	for i := range groups {
		g := &groups[i]
		for n, c := range consumers[i].Val() {
			if n == 0 || c.Idle < g.Idle {
				g.Idle = max(0, c.Idle)
			}
		}
		holds := slices.ContainsFunc(counting, func(c GroupInfo) bool { return c.Name == g.Name })
		for _, entry := range waiting[i].Val() {
			g.Unread = holds && (g.Idle < 0 || g.Idle >= unreadPeriod) && time.Since(entryTime(entry.ID)) >= unreadPeriod
		}
	}
	return nil
}

// isNoKey is true of what XINFO says of a stream or a group that is not there.
func isNoKey(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "no such key") || strings.HasPrefix(err.Error(), "NOGROUP"))
}
