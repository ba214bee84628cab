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

const (
	// oldestChunk is how many tasks are read in one round trip: they may be large.
	oldestChunk = 20
	// maxDelivered is how many delivered entries of a stream are counted one by one.
	maxDelivered = 1000
)

// queueCounts is what was counted of a queue.
type queueCounts struct {
	info      QueueInfo
	length    int64 // of the stream
	hasStream bool
	backlog   int64
	isExact   bool  // false: the number of waiting tasks is too high
	err       error // of this queue only
}

// count counts what queues hold, most of it in three round trips.
func (q *Queues) count(ctx context.Context, names []string) ([]*queueCounts, error) {
	counts, err := q.countStored(ctx, names)
	if err != nil {
		return nil, err
	}
	if err := q.countEntries(ctx, counts); err != nil {
		return nil, err
	}
	var nonEmpty []*queueCounts
	for _, c := range counts {
		if c.err == nil {
			c.err = q.countWaiting(ctx, c)
		}
		if c.err == nil && c.length > 0 {
			nonEmpty = append(nonEmpty, c)
		}
	}
	for chunk := range slices.Chunk(nonEmpty, oldestChunk) {
		if err := q.findOldest(ctx, chunk); err != nil {
			return nil, err
		}
	}
	return counts, nil
}

// storedCounts are the commands for what Redis itself counts of a queue.
type storedCounts struct {
	groups                 *goredis.XInfoGroupsCmd
	delayed, backlog, dead *goredis.IntCmd
	paused                 *goredis.StringCmd
}

// countStored reads what Redis itself counts, and the groups.
func (q *Queues) countStored(ctx context.Context, names []string) ([]*queueCounts, error) {
	pipe, replies := q.Commands.Pipeline(), make([]storedCounts, len(names))
	for i, name := range names {
		replies[i] = storedCounts{groups: pipe.XInfoGroups(ctx, q.Keys.Tasks(name)), delayed: pipe.ZCard(ctx, q.Keys.Delayed(name)),
			backlog: pipe.ZCard(ctx, q.Keys.Backlog(name)), dead: pipe.XLen(ctx, q.Keys.DeadLetters(name)), paused: pipe.Get(ctx, q.Keys.Paused(name))}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	counts := make([]*queueCounts, len(names))
	for i, reply := range replies {
		c := newQueueCounts(names[i], reply)
		if c.err != nil && !errors.Is(c.err, job.ErrKeyType) {
			return nil, c.err
		}
		counts[i] = c
	}
	return counts, nil
}

// newQueueCounts takes the replies for a queue.
func newQueueCounts(name string, reply storedCounts) *queueCounts {
	groups, groupsErr := conn.GroupInfos(reply.groups)
	c := &queueCounts{backlog: reply.backlog.Val(), hasStream: !conn.IsNoKey(reply.groups.Err()),
		info: QueueInfo{Name: name, Delayed: reply.delayed.Val(), Dead: reply.dead.Val(), Groups: groups}}
	if ms, err := resp.Number(reply.paused.Val()); err == nil {
		c.info.Paused = time.UnixMilli(ms)
	}
	pausedErr := reply.paused.Err()
	if errors.Is(pausedErr, goredis.Nil) {
		pausedErr = nil
	}
	for _, err := range []error{groupsErr, reply.delayed.Err(), reply.backlog.Err(), reply.dead.Err(), pausedErr} {
		if c.err == nil {
			c.err = conn.Translate("describe queue", err, conn.Repeatable)
		}
	}
	return c
}

// countEntries counts the entries of the streams that exist.
func (q *Queues) countEntries(ctx context.Context, counts []*queueCounts) error {
	pipe, lengths := q.Commands.Pipeline(), make([]*goredis.IntCmd, len(counts))
	for i, c := range counts {
		if c.err == nil && c.hasStream {
			lengths[i] = pipe.XLen(ctx, q.Keys.Tasks(c.info.Name))
		}
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("describe queue", err, conn.Repeatable)
	}
	for i, c := range counts {
		if lengths[i] != nil {
			c.length = lengths[i].Val()
		}
	}
	return nil
}

// countWaiting counts what each group has still to read.
func (q *Queues) countWaiting(ctx context.Context, c *queueCounts) error {
	info := &c.info
	c.isExact = true
	for i := range info.Groups {
		g := &info.Groups[i]
		read, err := q.delivered(ctx, info.Name, g, c.length)
		if err != nil {
			return err
		}
		c.isExact = c.isExact && read <= max(maxDelivered, g.Pending)
		g.Waiting = max(0, c.length-read) + c.backlog
		info.Leased += g.Pending
	}
	for _, g := range q.CountingGroups(info.Groups) {
		info.Waiting = max(info.Waiting, g.Waiting)
	}
	if len(info.Groups) == 0 {
		info.Waiting = c.length + c.backlog
	}
	return nil
}

// delivered counts the entries of a stream of some length that were delivered to a group:
// those that are pending, and those that raw peers acknowledged and left there. A group that
// has more than maxDelivered pending entries is taken to have no others; for other groups counting
// stops beyond that number.
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

// findOldest sets when the task was published that is delivered next.
func (q *Queues) findOldest(ctx context.Context, counts []*queueCounts) error {
	pipe, first := q.Commands.Pipeline(), make([]*goredis.XMessageSliceCmd, len(counts))
	for i, c := range counts {
		first[i] = pipe.XRangeN(ctx, q.Keys.Tasks(c.info.Name), q.UndeliveredFrom(c.info.Groups), "+", 1)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("describe queue", err, conn.Repeatable)
	}
	for i, c := range counts {
		for _, entry := range first[i].Val() {
			place, _ := queue.PlaceOf(queue.WhereWaiting, entry.ID, job.TextFields(entry.Values))
			c.info.Oldest = place.PublishedAt
		}
	}
	return nil
}
