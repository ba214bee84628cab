package watch

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// snapshotReader reads snapshots of jobs. They are read over the connection pool: over the tracking
// connection Redis would push the next change of keys that are not watched.
type snapshotReader struct {
	*conn.Shard
	results *result.Lookup
}

// add adds the snapshots that a page wants to its replies.
func (s *snapshotReader) add(ctx context.Context, page []streamRead, replies []streamReply) {
	var wanted []int
	for i, r := range page {
		if r.snapshotOf != "" && replies[i].err == nil {
			wanted = append(wanted, i)
		}
	}
	if len(wanted) > 0 {
		s.addStatuses(ctx, page, replies, wanted)
		s.addLastEvents(ctx, page, replies, wanted)
	}
}

// addStatuses adds what the states of jobs say.
func (s *snapshotReader) addStatuses(ctx context.Context, page []streamRead, replies []streamReply, wanted []int) {
	pipe := s.Commands.Pipeline()
	exists, statuses := make([]*goredis.IntCmd, len(wanted)), make([]*goredis.StringCmd, len(wanted))
	for n, i := range wanted {
		state := s.Keys.State(page[i].snapshotOf)
		exists[n] = pipe.Exists(ctx, state, s.Keys.Completion(page[i].snapshotOf))
		statuses[n] = pipe.HGet(ctx, state, job.FieldStatus)
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	for n, i := range wanted {
		for _, err := range []error{exists[n].Err(), statuses[n].Err()} {
			if err != nil && !errors.Is(err, goredis.Nil) {
				replies[i].err = conn.Translate("read job", err, conn.Repeatable)
			}
		}
		replies[i].snapshot = Snapshot{Known: exists[n].Val() > 0, Status: job.Status(statuses[n].Val())}
	}
}

// addLastEvents adds what the last events of jobs say. A last event, which may be large, is read only
// if the state does not say that the job has ended.
func (s *snapshotReader) addLastEvents(ctx context.Context, page []streamRead, replies []streamReply, wanted []int) {
	pipe := s.Commands.Pipeline()
	last := make([]*goredis.XMessageSliceCmd, len(wanted))
	for n, i := range wanted {
		if found := replies[i].snapshot; found.Known && !found.Status.Terminal() {
			last[n] = pipe.XRevRangeN(ctx, s.Keys.Completion(page[i].snapshotOf), "+", "-", 1)
		}
	}
	_, _ = pipe.Exec(ctx)
	for n, i := range wanted {
		if last[n] == nil {
			continue
		}
		if err := last[n].Err(); err != nil {
			replies[i].err = conn.Translate("read job", err, conn.Repeatable)
		}
		for _, m := range last[n].Val() {
			event := job.DecodeEvent(page[i].snapshotOf, m.ID, job.TextFields(m.Values))
			replies[i].snapshot.Status = s.status(ctx, replies[i].snapshot.Status, event)
		}
	}
}

// status is the status of a job whose state has one, "" for none, and that has a last event. A raw
// worker may have appended a terminal event without writing the state, which is then corrected.
func (s *snapshotReader) status(ctx context.Context, stored job.Status, last job.Event) job.Status {
	if last.Status.Terminal() {
		if found, err := s.results.Find(ctx, last.JobID); err == nil && found != nil {
			s.results.HealLater(last.JobID)
			return found.Status
		}
		return stored
	}
	if stored == "" {
		return last.Status
	}
	return stored
}
