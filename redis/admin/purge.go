package admin

import (
	"context"
	"errors"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Purged is what a purge removed.
type Purged struct {
	Waiting int64
	Delayed int64
	// Leased is how many tasks were left alone because a worker has them.
	Leased int64
}

// Purge removes the tasks that a queue has now, except the leased ones. Their jobs end
// as cancelled. ErrQueueNotFound when there is no such queue. After another error, what was removed so far is
// returned with it.
func (q *Queues) Purge(ctx context.Context, name string) (Purged, error) {
	name, err := q.existingQueue(ctx, name)
	if err != nil {
		return Purged{}, err
	}
	p := purge{queues: q, queue: name}
	// In the order in which tasks move, so that none is missed.
	if err := p.members(ctx, queue.WhereDelayed, &p.purged.Delayed); err != nil {
		return p.purged, err
	}
	if err := p.members(ctx, queue.WhereWaiting, &p.purged.Waiting); err != nil {
		return p.purged, err
	}
	err = p.entries(ctx)
	return p.purged, err
}

// purge is a purge of one queue.
type purge struct {
	queues *Queues
	queue  string
	purged Purged
	err    error // the first one of drop
}

// members drops the delayed tasks, or the backlog.
func (p *purge) members(ctx context.Context, where queue.Where, n *int64) error {
	key := queue.Place{Where: where, Queue: p.queue}.Set(p.queues.Keys)
	err := p.queues.removeMembers(ctx, key, func(member string) bool {
		place, isTask := queue.MemberPlace(where, member)
		return p.drop(ctx, place, isTask, n)
	})
	return errors.Join(err, p.err)
}

// entries drops the entries of the stream.
func (p *purge) entries(ctx context.Context) error {
	err := p.queues.EachEntry(ctx, p.queues.Keys.Tasks(p.queue), "-", func(entry goredis.XMessage) bool {
		place, isTask := queue.PlaceOf(queue.WhereWaiting, entry.ID, job.TextFields(entry.Values))
		return p.drop(ctx, place, isTask, &p.purged.Waiting)
	})
	return errors.Join(err, p.err)
}

// drop drops what is in a place, task or not, and counts it in n; false when that failed.
func (p *purge) drop(ctx context.Context, place queue.Place, isTask bool, n *int64) bool {
	place.Queue = p.queue
	dropped := queue.Dropped{Place: place, Result: job.Result{Status: job.StatusCancelled, Error: "purged from the queue"}}
	if isTask {
		dropped.JobID, dropped.Part = place.Task.JobID, place.Task.Part
	}
	reply, err := p.queues.canceller.Drop(ctx, dropped)
	if err != nil {
		p.err = err
		return false
	}
	switch reply.Verdict {
	case conn.VerdictDropped:
		*n++
	case conn.VerdictLeased:
		p.purged.Leased++
	}
	return true
}

// removeMembers calls remove for the members of a sorted set, until it returns false. It stops
// after as many members as there are now: if others are added all the time, it ends all the same.
func (q *Queues) removeMembers(ctx context.Context, key string, remove func(member string) bool) error {
	left, err := q.Commands.ZCard(ctx, key).Result()
	if err != nil {
		return conn.Translate("count tasks", err, conn.Repeatable)
	}
	for hasFound := true; hasFound && left > 0; {
		hasFound = false
		isStopped := false
		err := q.EachMember(ctx, key, func(member string, _ float64) bool {
			hasFound = true
			left--
			isStopped = !remove(member) || left <= 0
			return !isStopped
		})
		if err != nil || isStopped {
			return err
		}
	}
	return nil
}
