package admin

import (
	"context"
	"time"

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

// NewQueues returns the administration of a shard's queues.
func NewQueues(shard *conn.Shard, waiters *queue.Waitlists, registry *queue.Registry, canceller *queue.Canceller, trimmer *Trimmer) *Queues {
	return &Queues{shard, waiters, registry, canceller, trimmer}
}

// ConsumerInfo is a consumer of a group.
type ConsumerInfo struct {
	Group   string
	Name    string
	Pending int64
	Idle    time.Duration // since it last asked for tasks
}

// Consumers lists the consumers of a queue, of all groups or of one. ErrQueueNotFound when there is no such queue.
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
			if c.Name == job.ReleasedConsumer || c.Name == job.FormerReleasedConsumer {
				continue // a place for released tasks, not a worker
			}
			all = append(all, ConsumerInfo{Group: g.Name, Name: c.Name, Pending: c.Pending, Idle: max(0, c.Idle)})
		}
	}
	return all, nil
}

// Pause stops the delivery of a queue's tasks until Resume; tasks can still be published.
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
