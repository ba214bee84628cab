package queue

import (
	"cmp"
	"context"
	"slices"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// PendingInfo is a task that was delivered and is not settled; of its Task only the job and the part
// are given.
type PendingInfo struct {
	Place
	// Cursor is where a list continues after it.
	Cursor string
	// IsGone: the entry was deleted under its lease.
	IsGone bool
}

// Pending lists a page of a group's leases in the order of their entries, after an entry or from the
// first; "" is the default queue and the default group.
func (l *Locator) Pending(ctx context.Context, queue, group, after string, count int) ([]PendingInfo, error) {
	queue, err := l.QueueName(queue)
	if err != nil {
		return nil, err
	}
	start, err := job.PageStart(after)
	if err != nil {
		return nil, err
	}
	group = cmp.Or(group, l.Settings.DefaultGroup)
	list, err := l.Commands.XPendingExt(ctx, &goredis.XPendingExtArgs{Stream: l.Keys.Tasks(queue), Group: group, Start: start, End: "+", Count: int64(count)}).Result()
	if conn.IsNoKey(err) {
		return nil, nil
	}
	if err != nil {
		return nil, conn.Translate("list leases", err, conn.Repeatable)
	}
	var pending []PendingInfo
	for chunk := range slices.Chunk(list, pendingChunk) {
		infos, err := l.pendingInfos(ctx, queue, group, chunk)
		if err != nil {
			return nil, err
		}
		pending = append(pending, infos...)
	}
	return pending, nil
}

// pendingChunk is how many entries, which may be large, are read at a time.
const pendingChunk = 50

func (l *Locator) pendingInfos(ctx context.Context, queue, group string, list []goredis.XPendingExt) ([]PendingInfo, error) {
	pipe := l.Commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(list))
	for i, p := range list {
		entries[i] = pipe.XRangeN(ctx, l.Keys.Tasks(queue), p.ID, p.ID, 1)
	}
	now := pipe.Time(ctx)
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, conn.Translate("list leases", err, conn.Repeatable)
	}
	lease := l.QueueSettings(queue).Lease
	infos := make([]PendingInfo, len(list))
	for i, p := range list {
		info := PendingInfo{Cursor: p.ID, IsGone: len(entries[i].Val()) == 0}
		if !info.IsGone {
			info.Place, _ = PlaceOf(WhereLeased, p.ID, job.TextFields(entries[i].Val()[0].Values))
			info.Task = job.Task{JobID: info.Task.JobID, Part: info.Task.Part}
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
