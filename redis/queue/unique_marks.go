package queue

import (
	"context"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

const (
	// oldMark is the age from which a mark is checked without another reason.
	oldMark = time.Minute
	// markPeriod is how often a process checks a mark without another reason: that searches the queues.
	markPeriod = 10 * time.Second
	// A search that found a task of the job, and took longer than shortSearch, is not repeated before
	// searchShare times as long has passed: else a producer that keeps trying would occupy Redis.
	shortSearch = 10 * time.Millisecond
	searchShare = 20
)

// UniqueMarks checks the active marks of jobs, of which a queue allows one unsettled task.
type UniqueMarks struct {
	*conn.Shard
	results *result.Lookup
	locator *Locator
	// oldMarks throttles checks of old marks, searches those for the tasks of one job.
	oldMarks, searches Throttle
}

// NewUniqueMarks returns a checker.
func NewUniqueMarks(shard *conn.Shard, results *result.Lookup, locator *Locator) *UniqueMarks {
	return &UniqueMarks{Shard: shard, results: results, locator: locator, oldMarks: Throttle{Period: markPeriod}}
}

// IsStale reports whether a mark's job has no unsettled task left. It looks for one only where there is
// a reason: the job has got a result since, or, now and then, the mark is old.
func (m *UniqueMarks) IsStale(ctx context.Context, jobID, mark string) (bool, error) {
	published, after, err := parseMark(mark)
	if err != nil {
		return true, nil
	}
	hasResult, err := m.results.ExistsAfter(ctx, jobID, after)
	if err != nil {
		return false, err
	}
	if !hasResult && (time.Since(published) < oldMark || !m.oldMarks.Due("")) || !m.searches.Due(jobID) {
		return false, nil
	}
	began := time.Now()
	isStale, err := m.hasNoTask(ctx, jobID)
	if took := time.Since(began); !isStale && took > shortSearch {
		m.searches.postpone(jobID, searchShare*took)
	}
	return isStale, err
}

// parseMark reads a mark: its time of publication, and the last event of its job then.
func parseMark(mark string) (published time.Time, after string, err error) {
	words := strings.Fields(mark) // time of publication, unique id, last event, number of entries
	ms, err := resp.Number(words[0])
	if err != nil {
		return published, "", err
	}
	after = job.JoinCursor(uint64(max(0, ms)), 0)
	if len(words) > 2 {
		after = words[2]
	}
	return time.UnixMilli(ms), after, nil
}

// hasNoTask is true for a job without an unsettled task in a queue of unique jobs. A cancelled task is
// not delivered, so it does not count unless a worker has it.
func (m *UniqueMarks) hasNoTask(ctx context.Context, jobID string) (bool, error) {
	places, err := m.locator.FindAgain(ctx, jobID)
	if err != nil {
		return false, err
	}
	cancelled, err := m.locator.CancelledAt(ctx, jobID)
	if err != nil {
		return false, err
	}
	for _, p := range places {
		isCancelled := !cancelled.IsZero() && !cancelled.Before(p.PublishedAt)
		isDone := p.Where == WhereDead || p.Where != WhereLeased && isCancelled
		if !isDone && m.QueueSettings(p.Queue).UniqueJobs {
			return false, nil
		}
	}
	return true, nil
}
