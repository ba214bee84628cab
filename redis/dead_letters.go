package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	goredis "github.com/redis/go-redis/v9"
)

// DeadLetter is a task, or an entry that is none, that is not delivered any more.
type DeadLetter struct {
	// ID names the dead letter, and is where a list goes on after it.
	ID string
	// Place says what is known of the task; EntryID is the dead letter's own.
	Place
	SourceID string // the entry that died
	DiedAt   time.Time
	// IsTask is false of an entry that is no task; then Fields are what it holds.
	IsTask bool
	Fields map[string]string
}

// DeadLetters lists a page of a queue's dead letters, oldest first, after one or from the
// first.
func (b *Broker) DeadLetters(ctx context.Context, queue, after string, count int) ([]DeadLetter, error) {
	queue, err := b.queueName(queue)
	if err != nil {
		return nil, err
	}
	from, err := pageStart(after)
	if err != nil {
		return nil, err
	}
	letters := make([]DeadLetter, 0, min(count, MaxBatch))
	err = b.eachEntry(ctx, b.keys.deadLetters(queue), from, func(entry goredis.XMessage) bool {
		letters = append(letters, deadLetter(queue, entry))
		return len(letters) < count
	})
	return letters, err
}

func deadLetter(queue string, entry goredis.XMessage) DeadLetter {
	fields := textFields(entry.Values)
	d := DeadLetter{ID: entry.ID}
	d.Place, d.IsTask = placeOf(WhereDead, entry.ID, fields)
	d.Queue, d.Group, d.SourceID = queue, fields["argus_group"], fields["argus_source_id"]
	if ms, err := number(fields["argus_dead_at"]); err == nil {
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
func (b *Broker) Redrive(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return b.eachDeadLetter(ctx, queue, all, ids, func(queue string, d DeadLetter) (bool, error) {
		if !d.IsTask { // it would only die again
			return false, nil
		}
		if reply, err := b.redrive(ctx, queue, d); err != nil || reply != "OK" {
			return false, err
		}
		b.waiters.NotifyEach(b.keys.tasks(queue), 1)
		b.ringEvents(d.Task.JobID)
		b.ringState(d.Task.JobID)
		return true, nil
	})
}

// redrive runs the redrive script. A mark that the job is active may be of a task that a raw
// worker has settled by now. ErrJobActive where it is not.
func (b *Broker) redrive(ctx context.Context, queue string, d DeadLetter) (string, error) {
	job, stale := d.Task.JobID, ""
	fairKeys, fairness := b.fair(queue)
	keys := append([]string{b.keys.state(job), b.keys.completion(job), b.keys.tasks(queue), b.keys.deadLetters(queue), b.keys.active(job), b.keys.parts(job)}, fairKeys...)
	for {
		reply, err := redriveScript.word(ctx, b.client, once, keys, d.EntryID, fairness, b.config.DefaultGroup,
			b.uniqueTTL(b.queueConfig(queue)), uuid.NewString(), stale,
			strconv.FormatInt(b.config.unfinishedTTL().Milliseconds(), 10))
		mark, isActive := strings.CutPrefix(reply, "ACTIVE\n")
		if err != nil || !isActive {
			return reply, err
		}
		isStale, err := b.isOutOfDate(ctx, job, mark)
		if err == nil && (!isStale || stale == mark) {
			err = &JobError{JobID: job, Err: ErrJobActive}
		}
		if err != nil {
			return "", err
		}
		stale = mark
	}
}

// DeleteDeadLetters removes dead letters, all of them or those with the ids, and says how
// many there were.
func (b *Broker) DeleteDeadLetters(ctx context.Context, queue string, all bool, ids []string) (int, error) {
	return b.eachDeadLetter(ctx, queue, all, ids, func(queue string, d DeadLetter) (bool, error) {
		n, err := b.client.commands.XDel(ctx, b.keys.deadLetters(queue), d.EntryID).Result()
		return n > 0, translate("delete dead letter", err, repeatable)
	})
}

// eachDeadLetter does something with the dead letters that are there now, all or those
// with the ids, and counts with how many it was done.
func (b *Broker) eachDeadLetter(ctx context.Context, queue string, all bool, ids []string, do func(string, DeadLetter) (bool, error)) (n int, err error) {
	if queue, err = b.queueName(queue); err != nil {
		return 0, err
	}
	if err := checkLetters(all, ids); err != nil {
		return 0, err
	}
	visit := func(entry goredis.XMessage) bool {
		var done bool
		if done, err = do(queue, deadLetter(queue, entry)); done {
			n++
		}
		return err == nil
	}
	key := b.keys.deadLetters(queue)
	if all {
		if failed := b.eachEntry(ctx, key, "-", visit); failed != nil {
			return n, failed
		}
		return n, err
	}
	for _, id := range ids {
		if _, _, ok := splitCursor(id); !ok {
			return 0, badLetter(id)
		}
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		entries, readErr := b.client.commands.XRangeN(ctx, key, id, id, 1).Result()
		if readErr != nil {
			return n, translate("read dead letter", readErr, repeatable)
		}
		if len(entries) > 0 && !visit(entries[0]) {
			break
		}
	}
	return n, err
}

// checkLetters checks which dead letters are meant.
func checkLetters(all bool, ids []string) error {
	switch {
	case all == (len(ids) > 0):
		return invalid("ids", "name dead letters, or set all; one of the two")
	case len(ids) > MaxBatch:
		return invalid("ids", "has %d entries, at most %d are allowed", len(ids), MaxBatch)
	}
	return nil
}

func badLetter(id string) error {
	return invalid("ids", "%q is not the id of a dead letter", clip(id))
}
