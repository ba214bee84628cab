package admin

import (
	"context"
	"errors"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Queues describes queues and acts on whole queues.
type Queues struct {
	*conn.Shard
	waiters   *queue.Waitlists
	registry  *queue.Registry
	canceller *queue.Canceller
	trimmer   *Trimmer
}

// NewQueues returns one.
func NewQueues(shard *conn.Shard, waiters *queue.Waitlists, registry *queue.Registry, canceller *queue.Canceller, trimmer *Trimmer) *Queues {
	return &Queues{shard, waiters, registry, canceller, trimmer}
}

// ConsumerInfo is a consumer of a group.
type ConsumerInfo struct {
	Group   string
	Name    string
	Pending int64
	Idle    time.Duration // since it last asked for work
}

// Consumers lists the consumers of a queue, of all groups or of one.
func (q *Queues) Consumers(ctx context.Context, queue, group string) ([]ConsumerInfo, error) {
	queue, err := q.existingQueue(ctx, queue)
	if err != nil {
		return nil, err
	}
	groups, err := q.Groups(ctx, queue)
	if err != nil {
		return nil, err
	}
	var all []ConsumerInfo
	for _, g := range groups {
		if group != "" && g.Name != group {
			continue
		}
		list, err := q.Commands.XInfoConsumers(ctx, q.Keys.Tasks(queue), g.Name).Result()
		if err != nil && !conn.IsNoKey(err) {
			return nil, conn.Translate("list consumers", err, conn.Repeatable)
		}
		for _, c := range list {
			if c.Name == job.Released || c.Name == job.FormerReleased {
				continue // no worker
			}
			all = append(all, ConsumerInfo{Group: g.Name, Name: c.Name, Pending: c.Pending, Idle: max(0, c.Idle)})
		}
	}
	return all, nil
}

// Pause stops the delivery of a queue's tasks; Publish goes on. It holds until Resume.
func (q *Queues) Pause(ctx context.Context, queue string) error {
	queue, err := q.QueueName(queue)
	if err != nil {
		return err
	}
	if err := q.registry.Add(ctx, queue); err != nil {
		return err
	}
	q.registry.SetPaused(queue, true)
	return conn.Translate("pause", q.Commands.Set(ctx, q.Keys.Paused(queue), time.Now().UnixMilli(), 0).Err(), conn.Repeatable)
}

// Resume ends a pause.
func (q *Queues) Resume(ctx context.Context, queue string) error {
	queue, err := q.QueueName(queue)
	if err != nil {
		return err
	}
	if err := q.Commands.Del(ctx, q.Keys.Paused(queue)).Err(); err != nil {
		return conn.Translate("resume", err, conn.Repeatable)
	}
	q.waiters.NotifyEach(q.Keys.Tasks(queue), job.MaxBatch)
	return nil
}

// Purged says what a purge removed.
type Purged struct {
	Waiting int64
	Delayed int64
	// Leased is how many tasks were left alone because a worker has them.
	Leased int64
}

// Purge removes the tasks that a queue has now, but those that are leased. Their jobs end
// as cancelled.
func (q *Queues) Purge(ctx context.Context, name string) (Purged, error) {
	name, err := q.existingQueue(ctx, name)
	if err != nil {
		return Purged{}, err
	}
	var purged Purged
	var failed error
	count := func(n *int64, d queue.Dropped) bool {
		d.Place.Queue, d.Result = name, job.Result{Status: job.StatusCancelled, Error: "purged from the queue"}
		reply, err := q.canceller.Drop(ctx, d)
		switch {
		case err != nil:
			failed = err
		case reply.Verdict == conn.VerdictDropped:
			*n++
		case reply.Verdict == conn.VerdictLeased:
			purged.Leased++
		}
		return err == nil
	}
	// In the order in which tasks move on, so that none escapes.
	counts := map[queue.Where]*int64{queue.WhereWaiting: &purged.Waiting, queue.WhereDelayed: &purged.Delayed}
	for _, where := range []queue.Where{queue.WhereDelayed, queue.WhereWaiting} {
		err := q.eachMemberNow(ctx, queue.Place{Where: where, Queue: name}.Set(q.Keys), func(member string) bool {
			return count(counts[where], doomed(queue.MemberPlace(where, member)))
		})
		if err := errors.Join(err, failed); err != nil {
			return purged, err
		}
	}
	err = q.EachEntry(ctx, q.Keys.Tasks(name), "-", func(entry goredis.XMessage) bool {
		return count(&purged.Waiting, doomed(queue.PlaceOf(queue.WhereWaiting, entry.ID, job.TextFields(entry.Values))))
	})
	return purged, errors.Join(err, failed)
}

// eachMemberNow calls visit, which removes it, for as many members of a sorted set as there are
// now, until it returns false: where others come all the while, it ends nevertheless.
func (q *Queues) eachMemberNow(ctx context.Context, key string, visit func(member string) bool) error {
	left, err := q.Commands.ZCard(ctx, key).Result()
	if err != nil {
		return conn.Translate("count tasks", err, conn.Repeatable)
	}
	for hasFound := true; hasFound && left > 0; {
		hasFound = false
		goesOn := true
		err := q.EachMember(ctx, key, func(member string, _ float64) bool {
			hasFound = true
			left--
			goesOn = visit(member) && left > 0
			return goesOn
		})
		if err != nil || !goesOn {
			return err
		}
	}
	return nil
}

// doomed is a place whose entry is to be dropped, task or not.
func doomed(p queue.Place, isTask bool) queue.Dropped {
	if !isTask {
		return queue.Dropped{Place: p}
	}
	return queue.Dropped{Place: p, JobID: p.Task.JobID, Part: p.Task.Part}
}
