package queue

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Locator finds the tasks of a job.
type Locator struct{ *conn.Shard }

// NewLocator returns a locator.
func NewLocator(shard *conn.Shard) *Locator { return &Locator{shard} }

// CancelledAt is when a job was last cancelled; zero when it was not. Tasks that were published until
// then are not delivered.
func (l *Locator) CancelledAt(ctx context.Context, jobID string) (time.Time, error) {
	at, err := l.Commands.ZScore(ctx, l.Keys.Tenant().CancelledJobs(), jobID).Result()
	if errors.Is(err, goredis.Nil) {
		return time.Time{}, nil
	}
	return time.UnixMilli(int64(at)), conn.Translate("find job", err, conn.Repeatable)
}

// FindAgain is Places for a job of which nothing else is known. If it finds nothing, it looks again: a
// requeued task may have moved from a place that was not searched yet to one that was.
func (l *Locator) FindAgain(ctx context.Context, jobID string) ([]Place, error) {
	places, err := l.Places(ctx, jobID, true)
	if err != nil || len(places) > 0 {
		return places, err
	}
	return l.Places(ctx, jobID, true)
}

// Places finds the tasks of a job: those that are delayed or leased, and, if deep, those that wait or
// are dead. It searches in the order in which tasks move, so it finds those that move meanwhile. A queue
// whose key holds another type is left out.
func (l *Locator) Places(ctx context.Context, jobID string, deep bool) ([]Place, error) {
	queues, err := l.QueueNames(ctx)
	if err != nil {
		return nil, err
	}
	searches := []func(context.Context, string, string) ([]Place, error){l.findDelayed, l.findLeased}
	if deep {
		searches = []func(context.Context, string, string) ([]Place, error){l.findDelayed, l.findInBacklog, l.findWaiting, l.findLeased, l.findDead}
	}
	var found places
	for _, search := range searches {
		for _, queue := range queues {
			list, err := search(ctx, queue, jobID)
			if errors.Is(err, job.ErrKeyType) {
				l.Log.Warn("a queue's key holds another type", "queue", queue)
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, p := range list {
				p.Queue = queue
				found.add(p)
			}
		}
	}
	return found, nil
}

// places collects the places of a job's tasks.
type places []Place

// add adds a place. For an entry that is leased in one group and waits for another, it keeps the lease.
func (ps *places) add(p Place) {
	i := slices.IndexFunc(*ps, func(other Place) bool {
		return p.EntryID != "" && other.EntryID == p.EntryID && other.Queue == p.Queue
	})
	if i < 0 {
		*ps = append(*ps, p)
	} else if p.Where == WhereLeased {
		(*ps)[i] = p
	}
}

func (l *Locator) findLeased(ctx context.Context, queue, jobID string) ([]Place, error) {
	groups, err := l.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var found []Place
	for _, group := range groups {
		for after := ""; group.Pending > 0; {
			pending, err := l.Pending(ctx, queue, group.Name, after, job.MaxBatch)
			if err != nil {
				return nil, err
			}
			for _, p := range pending {
				if p.Task.JobID == jobID {
					found = append(found, p.Place)
				}
			}
			if len(pending) < job.MaxBatch {
				break
			}
			after = pending[len(pending)-1].EntryID
		}
	}
	return found, nil
}

func (l *Locator) findDelayed(ctx context.Context, queue, jobID string) ([]Place, error) {
	return l.findMembers(ctx, WhereDelayed, queue, jobID)
}

func (l *Locator) findInBacklog(ctx context.Context, queue, jobID string) ([]Place, error) {
	return l.findMembers(ctx, WhereWaiting, queue, jobID)
}

// findMembers searches a sorted set for a job's tasks.
func (l *Locator) findMembers(ctx context.Context, where Where, queue, jobID string) (found []Place, err error) {
	err = l.EachMember(ctx, Place{Where: where, Queue: queue}.Set(l.Keys), func(member string, score float64) bool {
		if !strings.Contains(member, jobID) && !strings.Contains(member, `\`) { // in JSON it may be escaped
			return true
		}
		if p, ok := MemberPlace(where, member); ok && p.Task.JobID == jobID {
			if where == WhereDelayed {
				p.DueAt = time.UnixMilli(int64(score))
			}
			found = append(found, p)
		}
		return true
	})
	return found, err
}

// findWaiting finds the tasks of a job that some consumer group has still to read. An entry that all
// groups have read is leased, or a raw peer has acknowledged it without deleting it.
func (l *Locator) findWaiting(ctx context.Context, queue, jobID string) ([]Place, error) {
	groups, err := l.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	return l.findEntries(ctx, WhereWaiting, l.Keys.Tasks(queue), l.UndeliveredFrom(groups), jobID)
}

func (l *Locator) findDead(ctx context.Context, queue, jobID string) ([]Place, error) {
	return l.findEntries(ctx, WhereDead, l.Keys.DeadLetters(queue), "-", jobID)
}

// findEntries searches a stream for a job's tasks, beginning with an entry.
func (l *Locator) findEntries(ctx context.Context, where Where, stream, from, jobID string) (found []Place, err error) {
	err = l.EachEntry(ctx, stream, from, func(entry goredis.XMessage) bool {
		if p, ok := PlaceOf(where, entry.ID, job.TextFields(entry.Values)); ok && p.Task.JobID == jobID {
			found = append(found, p)
		}
		return true
	})
	return found, err
}
