package admin

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Redrive puts dead letters back into their queue, all of them or those with the ids, as
// tasks that were never tried. The results that were recorded when they died are withdrawn. It
// returns how many it put back; ids that do not exist, and malformed entries, are skipped.
// ErrJobActive: the job has another unsettled task, in a queue of unique jobs.
func (d *DeadLetters) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return d.each(ctx, queue, all, ids, func(queue string, letter DeadLetter) (bool, error) {
		if !letter.IsTask { // it would only die again
			return false, nil
		}
		if isRedriven, err := d.redrive(ctx, queue, letter); err != nil || !isRedriven {
			return false, err
		}
		d.waiters.NotifyEach(d.Keys.Tasks(queue), 1)
		d.watches.EventsWritten(letter.Task.JobID)
		d.watches.StateWritten(letter.Task.JobID)
		return true, nil
	})
}

// redrive puts one dead letter back; false when it does not exist. The mark of an active job may be out of
// date, if a raw worker settled its task: then it is replaced.
func (d *DeadLetters) redrive(ctx context.Context, queue string, letter DeadLetter) (bool, error) {
	jobID, stale := letter.Task.JobID, ""
	for {
		verdict, mark, err := d.runRedrive(ctx, redriveArgs{Queue: queue, JobID: jobID, ID: letter.EntryID, Stale: stale})
		if err != nil || verdict != conn.VerdictActive {
			return verdict == conn.VerdictOK, err
		}
		isStale, err := d.marks.IsStale(ctx, jobID, mark)
		if err == nil && (!isStale || stale == mark) {
			err = &job.JobError{JobID: jobID, Err: job.ErrJobActive}
		}
		if err != nil {
			return false, err
		}
		stale = mark
	}
}

// redriveArgs are the arguments of lua/redrive.lua, under the names that its header gives them. The others follow
// from the settings.
type redriveArgs struct {
	Queue string
	JobID string
	ID    string
	Stale string
}

// runRedrive runs the redrive script, and returns its verdict, and the mark with VerdictActive.
func (d *DeadLetters) runRedrive(ctx context.Context, a redriveArgs) (verdict, mark string, err error) {
	fairKeys, fairness := d.Fair(a.Queue)
	keys := append([]string{d.Keys.State(a.JobID), d.Keys.Completion(a.JobID), d.Keys.Tasks(a.Queue), d.Keys.DeadLetters(a.Queue),
		d.Keys.Active(a.JobID), d.Keys.Parts(a.JobID)}, fairKeys...)
	activeTTL, recordTTL := d.UniqueTTL(d.QueueSettings(a.Queue)), d.Settings.UnfinishedTTL()
	reply, err := conn.RedriveScript.Word(ctx, d.Conn, conn.Once, keys,
		a.ID, fairness, d.Settings.DefaultGroup, activeTTL, uuid.NewString(), a.Stale, recordTTL.Milliseconds())
	verdict, mark, _ = strings.Cut(reply, "\n")
	return verdict, mark, err
}
