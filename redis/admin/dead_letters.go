package admin

import (
	"context"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// DeadLetters lists, redrives and deletes dead letters: tasks that are not delivered any more.
type DeadLetters struct {
	*conn.Shard
	waiters *queue.Waitlists
	watches *watch.Subscriptions
	marks   *queue.UniqueMarks
}

// NewDeadLetters returns the dead letters of a shard.
func NewDeadLetters(shard *conn.Shard, waiters *queue.Waitlists, watches *watch.Subscriptions, marks *queue.UniqueMarks) *DeadLetters {
	return &DeadLetters{shard, waiters, watches, marks}
}

// DeadLetter is a task, or a malformed entry, that is not delivered any more.
type DeadLetter struct {
	// ID names the dead letter, and is the place where a list continues after it.
	ID string
	// Place describes the task; EntryID is the dead letter's own.
	queue.Place
	SourceID string // the entry that died
	DiedAt   time.Time
	// IsTask is false for a malformed entry; then Fields are its fields.
	IsTask bool
	Fields map[string]string
}

// newDeadLetter reads a dead letter of a queue.
func newDeadLetter(name string, entry goredis.XMessage) DeadLetter {
	fields := job.TextFields(entry.Values)
	letter := DeadLetter{ID: entry.ID}
	letter.Place, letter.IsTask = queue.PlaceOf(queue.WhereDead, entry.ID, fields)
	letter.Queue, letter.Group, letter.SourceID = name, fields["argus_group"], fields["argus_source_id"]
	if ms, err := resp.Number(fields["argus_dead_at"]); err == nil {
		letter.DiedAt = time.UnixMilli(ms)
	}
	if !letter.IsTask {
		letter.Fields = fields
	}
	return letter
}

// List lists a page of a queue's dead letters, oldest first, after one or from the
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
		letters = append(letters, newDeadLetter(queue, entry))
		return len(letters) < count
	})
	return letters, err
}

// Delete removes dead letters, all of them or those with the ids, and returns how
// many it removed.
func (d *DeadLetters) Delete(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return d.each(ctx, queue, all, ids, func(queue string, letter DeadLetter) (bool, error) {
		n, err := d.Commands.XDel(ctx, d.Keys.DeadLetters(queue), letter.EntryID).Result()
		return n > 0, conn.Translate("delete dead letter", err, conn.Repeatable)
	})
}

// each calls do for the dead letters that there are now, all or those
// with the ids, until it fails, and counts how often it returned true.
func (d *DeadLetters) each(ctx context.Context, queue string, all bool, ids []string, do func(string, DeadLetter) (bool, error)) (n int, err error) {
	if queue, err = d.QueueName(queue); err != nil {
		return 0, err
	}
	if err := CheckLetterIDs(all, ids); err != nil {
		return 0, err
	}
	for _, id := range ids {
		if _, _, ok := job.SplitCursor(id); !ok {
			return 0, InvalidLetterID(id)
		}
	}
	var doErr error
	visit := func(entry goredis.XMessage) bool {
		var done bool
		if done, doErr = do(queue, newDeadLetter(queue, entry)); done {
			n++
		}
		return doErr == nil
	}
	key := d.Keys.DeadLetters(queue)
	if all {
		err = d.EachEntry(ctx, key, "-", visit)
	} else {
		err = d.eachEntryOf(ctx, key, ids, visit)
	}
	if err == nil {
		err = doErr
	}
	return n, err
}

// eachEntryOf calls visit for the entries with some ids that exist, until it returns false.
func (d *DeadLetters) eachEntryOf(ctx context.Context, key string, ids []string, visit func(goredis.XMessage) bool) error {
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		entries, err := d.Commands.XRangeN(ctx, key, id, id, 1).Result()
		if err != nil {
			return conn.Translate("read dead letter", err, conn.Repeatable)
		}
		if len(entries) > 0 && !visit(entries[0]) {
			return nil
		}
	}
	return nil
}

// CheckLetterIDs checks that a request names dead letters, or all.
func CheckLetterIDs(all bool, ids []string) error {
	switch {
	case all == (len(ids) > 0):
		return job.Invalid("ids", "name dead letters, or set all; one of the two")
	case len(ids) > job.MaxBatch:
		return job.Invalid("ids", "has %d entries, at most %d are allowed", len(ids), job.MaxBatch)
	}
	return nil
}

// InvalidLetterID is the error of a malformed id.
func InvalidLetterID(id string) error {
	return job.Invalid("ids", "%q is not the id of a dead letter", job.Clip(id))
}
