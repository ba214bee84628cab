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
	// Waiting is how many tasks no worker has, in the group that has most of them. What
	// raw peers acknowledged without deleting is among them until a clean-up removes it,
	// which it can when all before it is settled.
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
	// Waiting is how many tasks it has not read, at most: what other groups have still to
	// settle is among them.
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

func (b *Broker) queue(ctx context.Context, name string) (QueueInfo, error) {
	q := QueueInfo{Name: name}
	pipe := b.client.commands.Pipeline()
	length := pipe.XLen(ctx, b.keys.tasks(name))
	delayed := pipe.ZCard(ctx, b.keys.delayed(name))
	backlog := pipe.ZCard(ctx, b.keys.backlog(name))
	dead := pipe.XLen(ctx, b.keys.deadLetters(name))
	paused := pipe.Get(ctx, b.keys.paused(name))
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return q, translate("describe queue", err, repeatable)
	}
	q.Delayed, q.Dead = delayed.Val(), dead.Val()
	if ms, err := number(paused.Val()); err == nil {
		q.Paused = time.UnixMilli(ms)
	}
	groups, err := b.groups(ctx, name)
	if err != nil {
		return q, err
	}
	behind := "0-0" // up to where every group has read
	for i := range groups {
		g := &groups[i]
		g.Waiting = max(0, length.Val()-g.Pending) + backlog.Val()
		q.Waiting, q.Leased = max(q.Waiting, g.Waiting), q.Leased+g.Pending
		if i == 0 || cursorLess(g.LastDelivered, behind) {
			behind = g.LastDelivered
		}
	}
	q.Groups = groups
	if len(groups) == 0 {
		q.Waiting = length.Val() + backlog.Val()
	}
	first, err := b.client.commands.XRangeN(ctx, b.keys.tasks(name), cursorAfter(behind), "+", 1).Result()
	if err != nil {
		return q, translate("describe queue", err, repeatable)
	}
	if len(first) > 0 {
		p, _ := placeOf(WhereWaiting, first[0].ID, textFields(first[0].Values))
		q.Oldest = p.PublishedAt
	}
	return q, nil
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
		for {
			members, err := b.client.commands.ZRange(ctx, Place{Where: where, Queue: queue}.set(b.keys), 0, minPage-1).Result()
			if err != nil {
				return purged, translate("purge", err, repeatable)
			}
			if len(members) == 0 {
				break
			}
			for _, member := range members {
				p, isTask := memberPlace(where, member)
				d := dropped{place: p}
				if isTask {
					d.jobID, d.part = p.Task.JobID, p.Task.Part
				}
				if !count(counts[where], d) {
					return purged, failed
				}
			}
		}
	}
	err = b.eachEntry(ctx, b.keys.tasks(queue), func(entry goredis.XMessage) bool {
		return count(&purged.Waiting, doomed(Place{EntryID: entry.ID}, textFields(entry.Values)))
	})
	return purged, errors.Join(err, failed)
}

// doomed is an entry that is to be dropped.
func doomed(p Place, fields map[string]string) dropped {
	task, _, err := decodeEntry(fields)
	if err != nil {
		return dropped{place: p}
	}
	return dropped{place: p, jobID: task.JobID, part: task.Part}
}
