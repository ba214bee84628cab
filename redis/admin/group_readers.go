package admin

import (
	"context"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// unreadPeriod is how long tasks must have waited for a group without a reader before the group counts as
// unread.
const unreadPeriod = 10 * time.Minute

// groupReaders are the commands that find out whether a group is read.
type groupReaders struct {
	consumers *goredis.XInfoConsumersCmd
	next      *goredis.XMessageSliceCmd // the entry that is delivered next
}

// inspectGroups finds out which of a queue's groups have readers: it sets Idle and Unread.
func (q *Queues) inspectGroups(ctx context.Context, queue string, groups []job.GroupInfo) error {
	pipe, stream := q.Commands.Pipeline(), q.Keys.Tasks(queue)
	replies := make([]groupReaders, len(groups))
	for i, g := range groups {
		replies[i] = groupReaders{pipe.XInfoConsumers(ctx, stream, g.Name), pipe.XRangeN(ctx, stream, job.CursorAfter(g.LastDelivered), "+", 1)}
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !conn.IsNoKey(err) {
		return conn.Translate("describe groups", err, conn.Repeatable)
	}
	counting := q.CountingGroups(groups)
	for i := range groups {
		g := &groups[i]
		g.Idle = shortestIdle(replies[i].consumers.Val(), g.Idle)
		holdsTasks := slices.ContainsFunc(counting, func(c job.GroupInfo) bool { return c.Name == g.Name })
		for _, entry := range replies[i].next.Val() {
			g.Unread = holdsTasks && (g.Idle < 0 || g.Idle >= unreadPeriod) && time.Since(job.EntryTime(entry.ID)) >= unreadPeriod
		}
	}
	return nil
}

// shortestIdle is how long ago one of the consumers last asked for tasks; none when there is no consumer.
func shortestIdle(consumers []goredis.XInfoConsumer, none time.Duration) time.Duration {
	for i, c := range consumers {
		if idle := max(0, c.Idle); i == 0 || idle < none {
			none = idle
		}
	}
	return none
}
