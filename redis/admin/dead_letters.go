package admin

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// DeadLetters are the tasks that are not delivered any more.
type DeadLetters struct {
	*conn.Shard
	waiters *queue.Waitlists
	watches *watch.Subscriptions
	marks   *queue.UniqueMarks
}

// NewDeadLetters returns one.
func NewDeadLetters(shard *conn.Shard, waiters *queue.Waitlists, watches *watch.Subscriptions, marks *queue.UniqueMarks) *DeadLetters {
	return &DeadLetters{shard, waiters, watches, marks}
}

// DeadLetter is a task, or an entry that is none, that is not delivered any more.
type DeadLetter struct {
	// ID names the dead letter, and is where a list goes on after it.
	ID string
	// Place says what is known of the task; EntryID is the dead letter's own.
	queue.Place
	SourceID string // the entry that died
	DiedAt   time.Time
	// IsTask is false of an entry that is no task; then Fields are what it holds.
	IsTask bool
	Fields map[string]string
}

// DeadLetters lists a page of a queue's dead letters, oldest first, after one or from the
// first.
func (d *DeadLetters) List(ctx context.Context, queue, after string, count int) ([]DeadLetter, error) {
	queue, err := d.QueueName(queue)
	if err != nil {
		return nil, err
	}
	from, err := job.PageStart(after)
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, 0, min(count, job.MaxBatch))
	err = d.EachEntry(ctx, d.Keys.DeadLetters(queue), from, func(entry goredis.XMessage) bool {
		letters = append(letters, deadLetter(queue, entry))
		return len(letters) < count
	})
	return letters, err
}

func deadLetter(name string, entry goredis.XMessage) DeadLetter {
	fields := job.TextFields(entry.Values)
	d := DeadLetter{ID: entry.ID}
	d.Place, d.IsTask = queue.PlaceOf(queue.WhereDead, entry.ID, fields)
	d.Queue, d.Group, d.SourceID = name, fields["argus_group"], fields["argus_source_id"]
	if ms, err := resp.Number(fields["argus_dead_at"]); err == nil {
		d.DiedAt = time.UnixMilli(ms)
	}
	if !d.IsTask {
		d.Fields = fields
	}
	return d
}

// Redrive puts dead letters back into their queue, all of them or those with the ids, as
// tasks that were never tried. The results that their deaths recorded are withdrawn. It
// says how many it put back; those that are not there, or are no tasks, are left out.
func (dead *DeadLetters) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return dead.eachDeadLetter(ctx, queue, all, ids, func(queue string, d DeadLetter) (bool, error) {
		if !d.IsTask { // it would only die again
			return false, nil
		}
		if reply, err := dead.redrive(ctx, queue, d); err != nil || reply != "OK" {
			return false, err
		}
		dead.waiters.NotifyEach(dead.Keys.Tasks(queue), 1)
		dead.watches.EventsWritten(d.Task.JobID)
		dead.watches.StateWritten(d.Task.JobID)
		return true, nil
	})
}

// redrive runs the redrive script. A mark that the job is active may be of a task that a raw
// worker has settled by now. ErrJobActive where it is not.
func (dead *DeadLetters) redrive(ctx context.Context, queue string, d DeadLetter) (string, error) {
	jobID, stale := d.Task.JobID, ""
	fairKeys, fairness := dead.Fair(queue)
	keys := append([]string{dead.Keys.State(jobID), dead.Keys.Completion(jobID), dead.Keys.Tasks(queue), dead.Keys.DeadLetters(queue), dead.Keys.Active(jobID), dead.Keys.Parts(jobID)}, fairKeys...)
	for {
		reply, err := conn.RedriveScript.Word(ctx, dead.Conn, conn.Once, keys, d.EntryID, fairness, dead.Settings.DefaultGroup,
			dead.UniqueTTL(dead.QueueSettings(queue)), uuid.NewString(), stale,
			strconv.FormatInt(dead.Settings.UnfinishedTTL().Milliseconds(), 10))
		mark, isActive := strings.CutPrefix(reply, "ACTIVE\n")
		if err != nil || !isActive {
			return reply, err
		}
		isStale, err := dead.marks.IsStale(ctx, jobID, mark)
		if err == nil && (!isStale || stale == mark) {
			err = &job.JobError{JobID: jobID, Err: job.ErrJobActive}
		}
		if err != nil {
			return "", err
		}
		stale = mark
	}
}

// DeleteDeadLetters removes dead letters, all of them or those with the ids, and says how
// many there were.
func (dead *DeadLetters) Delete(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return dead.eachDeadLetter(ctx, queue, all, ids, func(queue string, d DeadLetter) (bool, error) {
		n, err := dead.Commands.XDel(ctx, dead.Keys.DeadLetters(queue), d.EntryID).Result()
		return n > 0, conn.Translate("delete dead letter", err, conn.Repeatable)
	})
}

// eachDeadLetter does something with the dead letters that are there now, all or those
// with the ids, and counts with how many it was done.
func (d *DeadLetters) eachDeadLetter(ctx context.Context, queue string, all bool, ids []string, do func(string, DeadLetter) (bool, error)) (n int, err error) {
	if queue, err = d.QueueName(queue); err != nil {
		return 0, err
	}
	if err := CheckLetterIDs(all, ids); err != nil {
		return 0, err
	}
	visit := func(entry goredis.XMessage) bool {
		var done bool
		if done, err = do(queue, deadLetter(queue, entry)); done {
			n++
		}
		return err == nil
	}
	key := d.Keys.DeadLetters(queue)
	if all {
		if failed := d.EachEntry(ctx, key, "-", visit); failed != nil {
			return n, failed
		}
		return n, err
	}
	for _, id := range ids {
		if _, _, ok := job.SplitCursor(id); !ok {
			return 0, InvalidLetterID(id)
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		entries, readErr := d.Commands.XRangeN(ctx, key, id, id, 1).Result()
		if readErr != nil {
			return n, conn.Translate("read dead letter", readErr, conn.Repeatable)
		}
		if len(entries) > 0 && !visit(entries[0]) {
			break
		}
	}
	return n, err
}

// CheckLetterIDs checks which dead letters are meant.
func CheckLetterIDs(all bool, ids []string) error {
	switch {
	case all == (len(ids) > 0):
		return job.Invalid("ids", "name dead letters, or set all; one of the two")
	case len(ids) > job.MaxBatch:
		return job.Invalid("ids", "has %d entries, at most %d are allowed", len(ids), job.MaxBatch)
	}
	return nil
}

func InvalidLetterID(id string) error {
	return job.Invalid("ids", "%q is not the id of a dead letter", job.Clip(id))
}
