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

// Watches are notified of what this process writes.
type Watches interface {
	StateWritten(jobID string)
	EventsWritten(jobID string)
}

// Lookup finds the results of jobs, and corrects states that contradict them.
type Lookup struct {
	*conn.Shard
	watches Watches
	stale   chan string // jobs whose states contradict their results
}

// NewLookup returns a lookup. Run must be called for it.
func NewLookup(shard *conn.Shard, watches Watches) *Lookup {
	return &Lookup{Shard: shard, watches: watches, stale: make(chan string, healQueue)}
}

// Find is a job's terminal event, the first one; nil when there is none. It walks as the
// scripts do (lua/record.lua), from where they came to.
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
	from := "-"
	if place := strings.Fields(scan.Val()); len(place) == 3 {
		if n, err := resp.Number(place[1]); err == nil && n <= length.Val() {
			from = job.CursorAfter(place[0])
		}
	}
	var found *job.Event
	err := l.EachEntry(ctx, key, from, func(entry goredis.XMessage) bool {
		if event := job.DecodeEvent(jobID, entry.ID, job.TextFields(entry.Values)); event.Status.Terminal() {
			found = &event
		}
		return found == nil
	})
	return found, err
}

// ExistsAfter is true of a job with a terminal event after a cursor.
func (l *Lookup) ExistsAfter(ctx context.Context, jobID, cursor string) (bool, error) {
	found := false
	err := l.EachEntry(ctx, l.Keys.Completion(jobID), job.CursorAfter(cursor), func(entry goredis.XMessage) bool {
		found = job.DecodeEvent(jobID, entry.ID, job.TextFields(entry.Values)).Status.Terminal()
		return !found
	})
	return found, err
}
