package queue

import (
	"context"
	"errors"
	"slices"
	"strconv"
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

// Where says where a job's task is.
type Where string

// The places.
const (
	WhereWaiting Where = "WAITING" // in its queue; also when its lease ran out
	WhereLeased  Where = "LEASED"  // a worker has it
	WhereDelayed Where = "DELAYED" // it waits for its time
	WhereDead    Where = "DEAD"    // among the dead letters
	WhereNowhere Where = ""        // no task of the job was found
)

// Place is where a job's task is, and why.
type Place struct {
	Where   Where
	Queue   string
	EntryID string // in the stream, or among the dead letters
	// Group and Consumer have the lease, or had it last, until LeaseExpires.
	Group        string
	Consumer     string
	LeaseExpires time.Time
	DueAt        time.Time // of a delayed task
	Attempts     int       // deliveries so far
	Failures     int       // of these, given back by a worker
	Cause        string    // of a dead letter
	Reason       string    // why it was given back or died, as its worker said
	PublishedAt  time.Time
	Task         job.Task

	member string // of the delayed set or of the backlog
}

// Set is the sorted set that the member is in.
func (p Place) Set(k job.Keys) string {
	if p.Where == WhereWaiting {
		return k.Backlog(p.Queue)
	}
	return k.Delayed(p.Queue)
}

// MemberPlace is a member of such a set as a place; false when it is no task.
func MemberPlace(where Where, member string) (Place, bool) {
	var fields []string
	if where == WhereWaiting {
		fields, _ = unpackBacklog(member)
	} else if list, ok := job.Unpack(member); ok {
		fields = list[1:]
	}
	p, ok := PlaceOf(where, "", job.EntryFields(fields))
	p.member = member
	return p, ok
}

// CancelledAt is when a job was cancelled last; zero when it was not. Tasks that were published
// until then are not delivered.
func (l *Locator) CancelledAt(ctx context.Context, jobID string) (time.Time, error) {
	at, err := l.Commands.ZScore(ctx, l.Keys.CancelledJobs(), jobID).Result()
	if errors.Is(err, goredis.Nil) {
		return time.Time{}, nil
	}
	return time.UnixMilli(int64(at)), conn.Translate("find job", err, conn.Repeatable)
}

// FindAgain is places for a job of which nothing else is known. It looks twice: a task that was
// given back may have gone from where it was not looked for yet to where it was.
func (l *Locator) FindAgain(ctx context.Context, jobID string) ([]Place, error) {
	places, err := l.Places(ctx, jobID, true)
	if err != nil || len(places) > 0 {
		return places, err
	}
	return l.Places(ctx, jobID, true)
}

// Places finds the tasks of a job: those that are delayed or leased, and, if deep, those
// that wait or are dead. It looks in the order in which tasks move on, so that none that
// moves meanwhile is missed. A queue whose key holds something else is left out.
func (l *Locator) Places(ctx context.Context, jobID string, deep bool) ([]Place, error) {
	queues, err := l.QueueNames(ctx)
	if err != nil {
		return nil, err
	}
	ways := []func(context.Context, string, string) ([]Place, error){l.findDelayed, l.findLeased}
	if deep {
		ways = []func(context.Context, string, string) ([]Place, error){l.findDelayed, l.findInBacklog, l.findWaiting, l.findLeased, l.findDead}
	}
	var found []Place
	for _, way := range ways {
		for _, queue := range queues {
			places, err := way(ctx, queue, jobID)
			if errors.Is(err, job.ErrKeyType) {
				l.Log.Warn("a queue's key holds another type", "queue", queue)
				continue
			}
			if err != nil {
				return nil, err
			}
			for _, p := range places {
				p.Queue = queue
				i := slices.IndexFunc(found, func(f Place) bool { return f.EntryID != "" && f.EntryID == p.EntryID && f.Queue == queue })
				switch {
				case i < 0:
					found = append(found, p)
				case p.Where == WhereLeased: // by one group, while it waits for another
					found[i] = p
				}
			}
		}
	}
	return found, nil
}

// PlaceOf is an entry as a place; false when it is no task.
func PlaceOf(where Where, id string, fields map[string]string) (Place, bool) {
	task, m, err := job.DecodeEntry(fields)
	p := Place{Where: where, EntryID: id, Attempts: m.Attempts, Failures: m.Failures, PublishedAt: m.PublishedAt, Task: task,
		Reason: fields["argus_reason"], Cause: fields["argus_cause"]}
	if p.PublishedAt.IsZero() {
		p.PublishedAt = job.EntryTime(id)
	}
	return p, err == nil
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

// findMembers looks for a job's tasks in a sorted set.
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

// unpackBacklog reads a member of a fair queue's backlog: lua/fair.lua.
func unpackBacklog(member string) ([]string, bool) {
	length, rest, ok := strings.Cut(member, ":")
	n, err := strconv.Atoi(length)
	const sequence = 1 + 14
	if !ok || err != nil || n < 0 || len(rest) < n+sequence {
		return nil, false
	}
	return job.Unpack(rest[n+sequence:])
}

// findWaiting finds the tasks of a job that some consumer group has still to read. What all
// groups have read is leased, or a raw peer has acknowledged it and left it there.
func (l *Locator) findWaiting(ctx context.Context, queue, jobID string) ([]Place, error) {
	groups, err := l.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	return l.search(ctx, WhereWaiting, l.Keys.Tasks(queue), l.UndeliveredFrom(groups), jobID)
}

func (l *Locator) findDead(ctx context.Context, queue, jobID string) ([]Place, error) {
	return l.search(ctx, WhereDead, l.Keys.DeadLetters(queue), "-", jobID)
}

// search looks for a job's entries in a stream, from one on.
func (l *Locator) search(ctx context.Context, where Where, stream, from, jobID string) (found []Place, err error) {
	err = l.EachEntry(ctx, stream, from, func(entry goredis.XMessage) bool {
		if p, ok := PlaceOf(where, entry.ID, job.TextFields(entry.Values)); ok && p.Task.JobID == jobID {
			found = append(found, p)
		}
		return true
	})
	return found, err
}
