package redis

import (
	"context"
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// ConsumerInfo is a consumer of a group.
type ConsumerInfo struct {
	Group   string
	Name    string
	Pending int64
	Idle    time.Duration // since it last asked for work
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
			if c.Name == released || c.Name == formerReleased {
				continue // no worker
			}
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
	if err := b.know(ctx, queue); err != nil {
		return err
	}
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
	b.waiters.NotifyEach(b.keys.tasks(queue), MaxBatch)
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
		err := b.eachMember(ctx, key, func(member string, _ float64) bool {
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
