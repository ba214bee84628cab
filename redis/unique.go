package redis

import (
	"context"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// In a queue of unique jobs a job has a mark as long as a task of it is unsettled. The scripts
// that publish and settle keep it (lua/prelude.lua). Raw workers don't, so a mark that stands in
// the way of a publish is looked into where there is a reason to: when the job has got a result
// since, or, now and then, when the mark is old.
const (
	// unfinishedTTL is how long what is known of a job that is not over is kept at least: its
	// mark, and the record of its parts. Usually these go with the job; this bounds what raw
	// workers leave behind.
	unfinishedTTL = 90 * 24 * time.Hour
	// oldMark is how old a mark is that may be looked into without another reason.
	oldMark = time.Minute
	// markPeriod is how often a broker looks into a mark without another reason: it searches
	// the queues.
	markPeriod = 10 * time.Second
	// A search that found a job's task, and took longer than shortSearch, is not repeated before
	// searchShare times as long has passed: a producer that tries again and again would have
	// Redis do nothing else.
	shortSearch = 10 * time.Millisecond
	searchShare = 20
)

func (c BrokerConfig) unfinishedTTL() time.Duration { return max(c.StateTTL, unfinishedTTL) }

// uniqueTTL is how long the marks of a queue's jobs are kept, ms, "" when its jobs need not be
// unique: what scripts take.
func (b *Broker) uniqueTTL(queue QueueConfig) string {
	if !queue.UniqueJobs {
		return ""
	}
	return strconv.FormatInt(b.config.unfinishedTTL().Milliseconds(), 10)
}

// isOutOfDate is true of a mark whose job has no unsettled task any more.
func (b *Broker) isOutOfDate(ctx context.Context, jobID, mark string) (bool, error) {
	words := strings.Fields(mark) // when it was published, a unique id, the last event then, entries
	ms, err := number(words[0])
	if err != nil {
		return true, nil
	}
	after := joinCursor(uint64(max(0, ms)), 0)
	if len(words) > 2 {
		after = words[2]
	}
	hasResult, err := b.hasResultAfter(ctx, jobID, after)
	if err != nil {
		return false, err
	}
	if !hasResult && (time.Since(time.UnixMilli(ms)) < oldMark || !b.oldMarks.due("")) || !b.searches.due(jobID) {
		return false, nil
	}
	began := time.Now()
	isOver, err := b.hasNoTask(ctx, jobID)
	if took := time.Since(began); !isOver && took > shortSearch {
		b.searches.postpone(jobID, searchShare*took)
	}
	return isOver, err
}

// hasResultAfter is true of a job with a terminal event after a cursor.
func (b *Broker) hasResultAfter(ctx context.Context, jobID, cursor string) (bool, error) {
	found := false
	err := b.eachEntry(ctx, b.keys.completion(jobID), cursorAfter(cursor), func(entry goredis.XMessage) bool {
		found = decodeEvent(jobID, entry.ID, textFields(entry.Values)).Status.Terminal()
		return !found
	})
	return found, err
}

// hasNoTask is true of a job without an unsettled task in a queue of unique jobs. One that was
// cancelled is not delivered any more, so it does not count.
func (b *Broker) hasNoTask(ctx context.Context, jobID string) (bool, error) {
	places, err := b.findAgain(ctx, jobID)
	if err != nil {
		return false, err
	}
	cancelled, err := b.cancelledAt(ctx, jobID)
	if err != nil {
		return false, err
	}
	for _, p := range places {
		isCancelled := !cancelled.IsZero() && !cancelled.Before(p.PublishedAt)
		isDone := p.Where == WhereDead || p.Where != WhereLeased && isCancelled
		if !isDone && b.queueConfig(p.Queue).UniqueJobs {
			return false, nil
		}
	}
	return true, nil
}
