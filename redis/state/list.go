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
// "" for the first, and the token to go on with, "" at the end. A page may be empty.
func (s *Store) List(ctx context.Context, after string, count int) (jobs []Summary, next string, err error) {
	var cursor uint64
	if after != "" {
		if cursor, err = strconv.ParseUint(after, 10, 64); err != nil || cursor == 0 {
			return nil, "", job.ErrPageToken
		}
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
			if job, ok := s.Keys.StateJob(key); ok {
				jobs = append(jobs, Summary{JobID: job})
			}
		}
		if cursor == 0 || len(jobs) >= count {
			break
		}
	}
	if cursor != 0 {
		next = strconv.FormatUint(cursor, 10)
	}
	return jobs, next, s.readStatuses(ctx, jobs)
}

// readStatuses fills in the jobs' statuses, and when they got their results: first what is
// stored, then, of jobs that by this are not over, what their results say.
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
	for page := range slices.Chunk(open, resultPage) {
		pipe := s.Commands.Pipeline()
		newest := make([]*goredis.XMessageSliceCmd, len(page))
		for i, job := range page {
			newest[i] = pipe.XRevRangeN(ctx, s.Keys.Completion(job.JobID), "+", "-", 1)
		}
		_, _ = pipe.Exec(ctx) // a key of another type is no reason to show no list
		for i, jobID := range page {
			for _, entry := range newest[i].Val() {
				if !job.DecodeEvent(jobID.JobID, entry.ID, job.TextFields(entry.Values)).Status.Terminal() {
					continue
				}
				if result, err := s.results.Find(ctx, jobID.JobID); err == nil && result != nil {
					s.results.HealLater(jobID.JobID)
					jobID.Status, jobID.CompletedAt = result.Status, result.CompletedAt
				}
			}
		}
	}
	return nil
}

// resultPage is how many jobs' newest events are read at once: they may be large.
const resultPage = 50

func (s *Store) readStoredStatuses(ctx context.Context, jobs []Summary) error {
	pipe := s.Commands.Pipeline()
	states := make([]*goredis.SliceCmd, len(jobs))
	for i, jobID := range jobs {
		states[i] = pipe.HMGet(ctx, s.Keys.State(jobID.JobID), job.FieldStatus, job.FieldCompletedAt)
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
