package queue

import (
	"context"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/result"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

const (
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

// UniqueMarks looks into the marks of jobs of which a queue wants one unfinished task.
type UniqueMarks struct {
	*conn.Shard
	results *result.Lookup
	locator *Locator
	// oldMarks allows looking into an old mark, searches searching for a job's task again.
	oldMarks, searches Throttle
}

// NewUniqueMarks returns one.
func NewUniqueMarks(shard *conn.Shard, results *result.Lookup, locator *Locator) *UniqueMarks {
	return &UniqueMarks{Shard: shard, results: results, locator: locator, oldMarks: Throttle{Period: markPeriod}}
}

// IsStale is true of a mark whose job has no unsettled task any more.
func (u *UniqueMarks) IsStale(ctx context.Context, jobID, mark string) (bool, error) {
	words := strings.Fields(mark) // when it was published, a unique id, the last event then, entries
	ms, err := resp.Number(words[0])
	if err != nil {
		return true, nil
	}
	after := job.JoinCursor(uint64(max(0, ms)), 0)
	if len(words) > 2 {
		after = words[2]
	}
	hasResult, err := u.results.ExistsAfter(ctx, jobID, after)
	if err != nil {
		return false, err
	}
	if !hasResult && (time.Since(time.UnixMilli(ms)) < oldMark || !u.oldMarks.Due("")) || !u.searches.Due(jobID) {
		return false, nil
	}
	began := time.Now()
	isOver, err := u.hasNoTask(ctx, jobID)
	if took := time.Since(began); !isOver && took > shortSearch {
		u.searches.postpone(jobID, searchShare*took)
	}
	return isOver, err
}

// hasNoTask is true of a job without an unsettled task in a queue of unique jobs. One that was
// cancelled is not delivered any more, so it does not count.
func (u *UniqueMarks) hasNoTask(ctx context.Context, jobID string) (bool, error) {
	places, err := u.locator.FindAgain(ctx, jobID)
	if err != nil {
		return false, err
	}
	cancelled, err := u.locator.CancelledAt(ctx, jobID)
	if err != nil {
		return false, err
	}
	for _, p := range places {
		isCancelled := !cancelled.IsZero() && !cancelled.Before(p.PublishedAt)
		isDone := p.Where == WhereDead || p.Where != WhereLeased && isCancelled
		if !isDone && u.QueueSettings(p.Queue).UniqueJobs {
			return false, nil
		}
	}
	return true, nil
}
