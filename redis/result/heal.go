package result

import (
	"context"
	"strconv"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// The terminal event is the record of a job's result. What this service writes, it writes to
// event and state in one step; a raw worker may append its event and leave the state as it
// was. Reads then answer by the event, and the first read that sees the difference has the stored
// status corrected.

// healQueue is how many states may wait to be corrected. What finds no room is left to the
// next one that sees it.
const healQueue = 1024

// HealLater has a job's stored status corrected, in the background.
func (l *Lookup) HealLater(jobID string) {
	select {
	case l.stale <- jobID:
	default:
	}
}

// Run corrects states until ctx ends.
func (l *Lookup) Run(ctx context.Context) {
	for {
		select {
		case job := <-l.stale:
			if err := l.Heal(ctx, job); err != nil && ctx.Err() == nil {
				l.Log.Debug("could not correct a job's status", "job_id", job, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Heal corrects the state of a job that has a result. Which one that is is looked up: what was
// seen may be a later terminal event, of which there should be none, or be withdrawn by now.
func (l *Lookup) Heal(ctx context.Context, jobID string) error {
	result, err := l.Find(ctx, jobID)
	if err != nil || result == nil {
		return err
	}
	completedAt := ""
	if !result.CompletedAt.IsZero() {
		completedAt = strconv.FormatInt(result.CompletedAt.Unix(), 10)
	}
	word, err := conn.HealScript.Word(ctx, l.Conn, conn.Repeatable, []string{l.Keys.State(jobID), l.Keys.Completion(jobID)},
		result.Cursor, string(result.Status), completedAt)
	if word == "HEALED" {
		l.watches.StateWritten(jobID)
	}
	return err
}
