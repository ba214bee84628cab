package result

import (
	"context"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// The terminal event is the record of a job's result. This service writes event and state in
// one step; a raw worker may append its event and leave the state unchanged. Reads then
// answer with the result, and the first read that finds the difference schedules the repair
// of the stored status.

// healQueue is how many states may wait for repair. A full queue drops requests: the next read that finds
// the difference repeats them.
const healQueue = 1024

// HealLater schedules the repair of a job's stored status. It does not block.
func (l *Lookup) HealLater(jobID string) {
	select {
	case l.stale <- jobID:
	default:
	}
}

// Run repairs states until ctx ends.
func (l *Lookup) Run(ctx context.Context) {
	for {
		select {
		case jobID := <-l.stale:
			if err := l.Heal(ctx, jobID); err != nil && ctx.Err() == nil {
				l.Log.Debug("could not repair a job's status", "job_id", jobID, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// Heal makes the stored status of a job that has a result that of the result. It looks the result up: the
// caller may have seen a later terminal event of a raw worker, or one that was withdrawn since.
func (l *Lookup) Heal(ctx context.Context, jobID string) error {
	result, err := l.Find(ctx, jobID)
	if err != nil || result == nil {
		return err
	}
	isHealed, err := l.runHeal(ctx, healArgs{JobID: jobID, Cursor: result.Cursor, Status: result.Status, CompletedAt: result.CompletedAt})
	if isHealed {
		l.watches.StateWritten(jobID)
	}
	return err
}

// healArgs are the arguments of lua/heal.lua, under the names that its header gives them.
type healArgs struct {
	JobID       string
	Cursor      string
	Status      job.Status
	CompletedAt time.Time // zero when it is not known
}

// runHeal runs the heal script, and reports whether it changed the state.
func (l *Lookup) runHeal(ctx context.Context, a healArgs) (isHealed bool, err error) {
	completedAt := ""
	if !a.CompletedAt.IsZero() {
		completedAt = strconv.FormatInt(a.CompletedAt.Unix(), 10)
	}
	verdict, err := conn.HealScript.Word(ctx, l.Conn, conn.Repeatable, []string{l.Keys.State(a.JobID), l.Keys.Completion(a.JobID)},
		a.Cursor, string(a.Status), completedAt)
	return verdict == conn.VerdictHealed, err
}
