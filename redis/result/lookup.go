package result

import (
	"context"
	"errors"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Lookup finds the results of jobs, and repairs states that contradict them.
type Lookup struct {
	*conn.Shard
	watches Watches
	stale   chan string // jobs whose states contradict their results
}

// NewLookup returns a lookup. Run must be called for it.
func NewLookup(shard *conn.Shard, watches Watches) *Lookup {
	return &Lookup{Shard: shard, watches: watches, stale: make(chan string, healQueue)}
}

// Find returns a job's result: its first terminal event; nil when there is none. The search begins where the
// scripts have ended theirs (lua/record.lua).
func (l *Lookup) Find(ctx context.Context, jobID string) (*job.Event, error) {
	key := l.Keys.Completion(jobID)
	pipe := l.Commands.Pipeline()
	scan, length := pipe.Get(ctx, l.Keys.Scan(jobID)), pipe.XLen(ctx, key)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, conn.Translate("read events", err, conn.Repeatable)
	}
	if length.Val() == 0 {
		return nil, nil
	}
	return l.findFrom(ctx, jobID, unexaminedFrom(scan.Val(), length.Val()))
}

// ExistsAfter reports whether a job has a terminal event after a cursor.
func (l *Lookup) ExistsAfter(ctx context.Context, jobID, cursor string) (bool, error) {
	found, err := l.findFrom(ctx, jobID, job.CursorAfter(cursor))
	return found != nil, err
}

// findFrom returns the first terminal event from an entry id on, nil when there is none.
func (l *Lookup) findFrom(ctx context.Context, jobID, from string) (found *job.Event, err error) {
	err = l.EachEntry(ctx, l.Keys.Completion(jobID), from, func(entry goredis.XMessage) bool {
		if event := job.DecodeEvent(jobID, entry.ID, job.TextFields(entry.Values)); event.Status.Terminal() {
			found = &event
		}
		return found == nil
	})
	return found, err
}

// unexaminedFrom is where the events begin that no script has examined: after the position "id entries bytes"
// that a script left. A stream with fewer entries than that is another one, and is read from its beginning.
func unexaminedFrom(position string, length int64) string {
	words := strings.Fields(position)
	if len(words) != 3 {
		return "-"
	}
	if entries, err := resp.Number(words[1]); err != nil || entries > length {
		return "-"
	}
	return job.CursorAfter(words[0])
}
