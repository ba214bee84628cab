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
}

// ConsumerInfo is a consumer of a group.
type ConsumerInfo struct {
	Group   string
	Name    string
	Pending int64
	Idle    time.Duration // since it last asked for work
}

// Queues lists the known queues in the order of their names; those whose keys hold
// something else are left out.
func (b *Broker) Queues(ctx context.Context) ([]QueueInfo, error) {
	names, err := b.queueNames(ctx)
	if err != nil {
		return nil, err
	}
	var queues []QueueInfo
	for _, name := range names {
		q, err := b.queue(ctx, name)
		if errors.Is(err, ErrKeyType) {
			b.log.Warn("a queue's key holds another type", "queue", name)
			continue
		}
		if err != nil {
			return nil, err
		}
		queues = append(queues, q)
	}
	return queues, nil
}

// Queue describes a queue; "" is the default queue. ErrQueueNotFound when there is none.
func (b *Broker) Queue(ctx context.Context, name string) (QueueInfo, error) {
	name, err := b.existingQueue(ctx, name)
	if err != nil {
		return QueueInfo{}, err
	}
	return b.queue(ctx, name)
}

// existingQueue is the queue that a request means, if it is known.
func (b *Broker) existingQueue(ctx context.Context, name string) (string, error) {
	name, err := b.queueName(name)
	if err != nil {
		return "", err
	}
	names, err := b.queueNames(ctx)
	if err != nil {
		return "", err
	}
	if slices.Contains(names, name) {
		return name, nil
	}
	n, err := b.client.commands.Exists(ctx, b.keys.tasks(name)).Result()
	if err == nil && n == 0 {
		err = ErrQueueNotFound
	}
	return name, translate("look for queue", err, repeatable)
}

// queue describes a queue. Where raw peers have left more settled entries than are counted
// one by one, it has them removed first, as the cleaner would.
func (b *Broker) queue(ctx context.Context, name string) (QueueInfo, error) {
	q, isExact, err := b.describeQueue(ctx, name)
	if err != nil || isExact {
		return q, err
	}
	if err := b.trim(ctx, name); err != nil {
		return q, err
	}
	q, _, err = b.describeQueue(ctx, name)
	return q, err
}

// describeQueue describes a queue; the number of waiting tasks is too high where isExact is
// false.
func (b *Broker) describeQueue(ctx context.Context, name string) (q QueueInfo, isExact bool, err error) {
	q.Name = name
	pipe := b.client.commands.Pipeline()
	length := pipe.XLen(ctx, b.keys.tasks(name))
	delayed := pipe.ZCard(ctx, b.keys.delayed(name))
	backlog := pipe.ZCard(ctx, b.keys.backlog(name))
	dead := pipe.XLen(ctx, b.keys.deadLetters(name))
	paused := pipe.Get(ctx, b.keys.paused(name))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return q, false, translate("describe queue", err, repeatable)
	}
	q.Delayed, q.Dead = delayed.Val(), dead.Val()
	if ms, err := number(paused.Val()); err == nil {
		q.Paused = time.UnixMilli(ms)
	}
	groups, err := b.groups(ctx, name)
	if err != nil {
		return q, false, err
	}
	isExact = true
	for i := range groups {
		g := &groups[i]
		read, err := b.delivered(ctx, name, g, length.Val())
		if err != nil {
			return q, false, err
		}
		isExact = isExact && read <= max(maxDelivered, g.Pending)
		g.Waiting = max(0, length.Val()-read) + backlog.Val()
		q.Leased += g.Pending
	}
	q.Groups = groups
	for _, g := range b.countingGroups(groups) {
		q.Waiting = max(q.Waiting, g.Waiting)
	}
	if len(groups) == 0 {
		q.Waiting = length.Val() + backlog.Val()
	}
	first, err := b.client.commands.XRangeN(ctx, b.keys.tasks(name), b.undeliveredFrom(groups), "+", 1).Result()
	if err != nil {
		return q, false, translate("describe queue", err, repeatable)
	}
	if len(first) > 0 {
		p, _ := placeOf(WhereWaiting, first[0].ID, textFields(first[0].Values))
		q.Oldest = p.PublishedAt
	}
	return q, isExact, nil
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
	list, err := b.client.commands.XInfoGroups(ctx, b.keys.tasks(queue)).Result()
	if isNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, translate("list groups", err, repeatable)
	}
	groups := make([]GroupInfo, len(list))
	for i, g := range list {
		groups[i] = GroupInfo{Name: g.Name, Pending: g.Pending, Consumers: g.Consumers, LastDelivered: g.LastDeliveredID}
		if g.LastDeliveredID == "" || g.LastDeliveredID == "0" { // miniredis
			groups[i].LastDelivered = firstCursor
		}
	}
	return groups, nil
}

// isNoKey is true of what XINFO says of a stream or a group that is not there.
func isNoKey(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "no such key") || strings.HasPrefix(err.Error(), "NOGROUP"))
}

// Consumers lists the consumers of a queue, of all groups or of one.
func (b *Broker) Consumers(ctx context.Context, queue, group string) ([]ConsumerInfo, error) {
	queue, err := b.existingQueue(ctx, queue)
	if err != nil {
		return nil, err
	}
	groups, err := b.groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var all []ConsumerInfo
	for _, g := range groups {
		if group != "" && g.Name != group {
			continue
		}
		list, err := b.client.commands.XInfoConsumers(ctx, b.keys.tasks(queue), g.Name).Result()
		if err != nil && !isNoKey(err) {
			return nil, translate("list consumers", err, repeatable)
		}
		for _, c := range list {
			all = append(all, ConsumerInfo{Group: g.Name, Name: c.Name, Pending: c.Pending, Idle: max(0, c.Idle)})
		}
	}
	return all, nil
}

// PendingInfo is a task that was delivered and is not settled; of its Task only the job
// and the part are given.
type PendingInfo struct {
	Place
	// Cursor is where a list goes on after it.
	Cursor string
	// IsGone: the entry was deleted under its lease.
	IsGone bool
}

// Pending lists a page of a group's leases in the order of their entries, after an entry
// or from the first; "" is the default queue and the default group.
func (b *Broker) Pending(ctx context.Context, queue, group, after string, count int) ([]PendingInfo, error) {
	queue, err := b.queueName(queue)
	if err != nil {
		return nil, err
	}
	start, err := pageStart(after)
	if err != nil {
		return nil, err
	}
	key := b.keys.tasks(queue)
	list, err := b.client.commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: key, Group: orDefault(group, b.config.DefaultGroup),
		Start: start, End: "+", Count: int64(count)}).Result()
	if isNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, translate("list leases", err, repeatable)
	}
	var pending []PendingInfo
	for chunk := range slices.Chunk(list, pendingChunk) {
		infos, err := b.pendingInfos(ctx, queue, orDefault(group, b.config.DefaultGroup), chunk)
		if err != nil {
			return nil, err
		}
		pending = append(pending, infos...)
	}
	return pending, nil
}

// pendingChunk is how many entries are read at once to see what they are: they may be
// large.
const pendingChunk = 50

func (b *Broker) pendingInfos(ctx context.Context, queue, group string, list []goredis.XPendingExt) ([]PendingInfo, error) {
	pipe := b.client.commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(list))
	for i, p := range list {
		entries[i] = pipe.XRangeN(ctx, b.keys.tasks(queue), p.ID, p.ID, 1)
	}
	now := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, translate("list leases", err, repeatable)
	}
	lease := b.queueConfig(queue).Lease
	infos := make([]PendingInfo, len(list))
	for i, p := range list {
		info := PendingInfo{Cursor: p.ID, IsGone: len(entries[i].Val()) == 0}
		if !info.IsGone {
			info.Place, _ = placeOf(WhereLeased, p.ID, textFields(entries[i].Val()[0].Values))
			info.Task = Task{JobID: info.Task.JobID, Part: info.Task.Part}
		}
		info.Queue, info.EntryID, info.Group, info.Consumer = queue, p.ID, group, p.Consumer
		info.Attempts += int(p.RetryCount)
		info.LeaseExpires = now.Val().Add(lease - p.Idle)
		info.Where = WhereLeased
		if p.Idle >= lease {
			info.Where = WhereWaiting
		}
		infos[i] = info
	}
	return infos, nil
}

// Pause stops the delivery of a queue's tasks; Publish goes on. It holds until Resume.
func (b *Broker) Pause(ctx context.Context, queue string) error {
	queue, err := b.queueName(queue)
	if err != nil {
		return err
	}
	b.know(ctx, queue)
	b.lines.isPaused(queue, true)
	return translate("pause", b.client.commands.Set(ctx, b.keys.paused(queue), time.Now().UnixMilli(), 0).Err(), repeatable)
}

// Resume ends a pause.
func (b *Broker) Resume(ctx context.Context, queue string) error {
	queue, err := b.queueName(queue)
	if err != nil {
		return err
	}
	if err := b.client.commands.Del(ctx, b.keys.paused(queue)).Err(); err != nil {
		return translate("resume", err, repeatable)
	}
	b.bell.ringEach(b.keys.tasks(queue), MaxBatch)
	return nil
}

// Purged says what a purge removed.
type Purged struct {
	Waiting int64
	Delayed int64
	// Leased is how many tasks were left alone because a worker has them.
	Leased int64
}

// Purge removes the tasks that a queue has now, but those that are leased. Their jobs end
// as cancelled.
func (b *Broker) Purge(ctx context.Context, queue string) (Purged, error) {
	queue, err := b.existingQueue(ctx, queue)
	if err != nil {
		return Purged{}, err
	}
	var purged Purged
	var failed error
	count := func(n *int64, d dropped) bool {
		d.place.Queue, d.result = queue, Result{Status: StatusCancelled, Error: "purged from the queue"}
		reply, err := b.drop(ctx, d)
		switch {
		case err != nil:
			failed = err
		case reply[0] == "DROPPED":
			*n++
		case reply[0] == "LEASED":
			purged.Leased++
		}
		return err == nil
	}
	// In the order in which tasks move on, so that none escapes.
	counts := map[Where]*int64{WhereWaiting: &purged.Waiting, WhereDelayed: &purged.Delayed}
	for _, where := range []Where{WhereDelayed, WhereWaiting} {
		err := b.eachMemberNow(ctx, Place{Where: where, Queue: queue}.set(b.keys), func(member string) bool {
			return count(counts[where], doomed(memberPlace(where, member)))
		})
		if err := errors.Join(err, failed); err != nil {
			return purged, err
		}
	}
	err = b.eachEntry(ctx, b.keys.tasks(queue), "-", func(entry goredis.XMessage) bool {
		return count(&purged.Waiting, doomed(placeOf(WhereWaiting, entry.ID, textFields(entry.Values))))
	})
	return purged, errors.Join(err, failed)
}

// eachMemberNow calls visit, which removes it, for as many members of a sorted set as there are
// now, until it returns false: where others come all the while, it ends nevertheless.
func (b *Broker) eachMemberNow(ctx context.Context, key string, visit func(member string) bool) error {
	left, err := b.client.commands.ZCard(ctx, key).Result()
	if err != nil {
		return translate("count tasks", err, repeatable)
	}
	for hasFound := true; hasFound && left > 0; {
		hasFound = false
		goesOn := true
		err := b.eachMember(ctx, key, "*", func(member string, _ float64) bool {
			hasFound = true
			left--
			goesOn = visit(member) && left > 0
			return goesOn
		})
		if err != nil || !goesOn {
			return err
		}
	}
	return nil
}

// doomed is a place whose entry is to be dropped, task or not.
func doomed(p Place, isTask bool) dropped {
	if !isTask {
		return dropped{place: p}
	}
	return dropped{place: p, jobID: p.Task.JobID, part: p.Task.Part}
}
