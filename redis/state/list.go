package state

import (
	"context"
	"slices"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Summary is a job in a list.
type Summary struct {
	JobID       string
	Status      job.Status
	CompletedAt time.Time // zero before it has its result
}

// List lists jobs that have a state, in no order: about count of them after a token,
// "" for the first, and the token of the next page, "" at the end. A page may be empty.
func (s *Store) List(ctx context.Context, after string, count int) (jobs []Summary, next string, err error) {
	cursor, err := parseScanToken(after)
	if err != nil {
		return nil, "", err
	}
	node, err := s.Node(ctx)
	if err != nil {
		return nil, "", err
	}
	for range conn.ScanCalls {
		var found []string
		found, cursor, err = node.ScanType(ctx, cursor, s.Keys.StatePattern(), min(conn.ScanCount, int64(count)*2), "hash").Result()
		if err != nil {
			return nil, "", conn.Translate("list jobs", err, conn.Repeatable)
		}
		for _, key := range found {
			if jobID, ok := s.Keys.StateJob(key); ok {
				jobs = append(jobs, Summary{JobID: jobID})
			}
		}
		if cursor == 0 || len(jobs) >= count {
			break
		}
	}
	return jobs, scanToken(cursor), s.readStatuses(ctx, jobs)
}

// scanToken is the token of the page that a SCAN cursor begins, "" at the end.
func scanToken(cursor uint64) string {
	if cursor == 0 {
		return ""
	}
	return strconv.FormatUint(cursor, 10)
}

// parseScanToken reads a token; "" is the first page.
func parseScanToken(token string) (cursor uint64, err error) {
	if token == "" {
		return 0, nil
	}
	cursor, err = strconv.ParseUint(token, 10, 64)
	if err != nil || cursor == 0 {
		return 0, job.ErrPageToken
	}
	return cursor, nil
}

// readStatuses sets the jobs' statuses and the times of their results: those that are stored, and for jobs
// that have not ended by these, those of their results.
func (s *Store) readStatuses(ctx context.Context, jobs []Summary) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := s.readStoredStatuses(ctx, jobs); err != nil {
		return err
	}
	var open []*Summary
	for i := range jobs {
		if !jobs[i].Status.Terminal() {
			open = append(open, &jobs[i])
		}
	}
	for page := range slices.Chunk(open, eventPage) {
		s.applyResults(ctx, page)
	}
	return nil
}

// readStoredStatuses reads the statuses from the jobs' states.
func (s *Store) readStoredStatuses(ctx context.Context, jobs []Summary) error {
	pipe := s.Commands.Pipeline()
	states := make([]*goredis.SliceCmd, len(jobs))
	for i, summary := range jobs {
		states[i] = pipe.HMGet(ctx, s.Keys.State(summary.JobID), job.FieldStatus, job.FieldCompletedAt)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return conn.Translate("list jobs", err, conn.Repeatable)
	}
	for i := range jobs {
		status, _ := states[i].Val()[0].(string)
		completed, _ := states[i].Val()[1].(string)
		jobs[i].Status = job.Status(status)
		if at, ok := job.ParseTime(completed); ok {
			jobs[i].CompletedAt = at
		}
	}
	return nil
}

// eventPage is how many jobs' newest events are read at once: they may be large.
const eventPage = 50

// applyResults sets the statuses of jobs whose newest event is terminal to those of their results, and has
// the stored statuses repaired. It leaves jobs out whose events can't be read.
func (s *Store) applyResults(ctx context.Context, jobs []*Summary) {
	pipe := s.Commands.Pipeline()
	newest := make([]*goredis.XMessageSliceCmd, len(jobs))
	for i, summary := range jobs {
		newest[i] = pipe.XRevRangeN(ctx, s.Keys.Completion(summary.JobID), "+", "-", 1)
	}
	_, _ = pipe.Exec(ctx) // a key of another type is no reason to return no list
	for i, summary := range jobs {
		entries := newest[i].Val()
		if len(entries) == 0 || !job.DecodeEvent(summary.JobID, entries[0].ID, job.TextFields(entries[0].Values)).Status.Terminal() {
			continue
		}
		if result, err := s.results.Find(ctx, summary.JobID); err == nil && result != nil {
			s.results.HealLater(summary.JobID)
			summary.Status, summary.CompletedAt = result.Status, result.CompletedAt
		}
	}
}
