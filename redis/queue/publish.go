package queue

import (
	"context"
	"errors"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Publisher publishes tasks.
type Publisher struct {
	*conn.Shard
	waiters   *Waitlists
	watches   *watch.Subscriptions
	registry  *Registry
	reader    *Reader
	marks     *UniqueMarks
	scheduler *Scheduler
}

// NewPublisher returns a publisher.
func NewPublisher(shard *conn.Shard, waiters *Waitlists, watches *watch.Subscriptions, registry *Registry, reader *Reader, marks *UniqueMarks, scheduler *Scheduler) *Publisher {
	return &Publisher{shard, waiters, watches, registry, reader, marks, scheduler}
}

// Published says where a task is.
type Published struct {
	EntryID string // "" while the task is delayed, or is in the backlog of a fair queue
	JobID   string
}

// Publish adds a task to its queue. deduplicated: an earlier call with the same request id has added
// it. Errors: ErrInvalid, ErrRequestIDConflict, ErrJobExists, ErrJobActive, ErrQueueFull,
// ErrTooManyQueues; ErrOutcomeUnknown when the connection broke and there is no request id.
func (pub *Publisher) Publish(ctx context.Context, r PublishRequest) (p Published, deduplicated bool, err error) {
	if err := r.Check(); err != nil {
		return p, false, err
	}
	all, deduplicated, err := pub.publish(ctx, r.Publication())
	if err != nil {
		return p, false, err
	}
	return all[0], deduplicated, nil
}

// PublishBatch adds tasks to their queue, all or none, in their order. Errors: those of Publish.
func (pub *Publisher) PublishBatch(ctx context.Context, r PublishBatchRequest) (p []Published, deduplicated bool, err error) {
	if err := r.Check(); err != nil {
		return nil, false, err
	}
	return pub.publish(ctx, r.Publication())
}

// errNotAdded: a plan that does without the publish script has added nothing, and the script must
// publish instead. The script also creates a missing stream, together with its group.
var errNotAdded = errors.New("nothing was added; the publish script is needed")

func (pub *Publisher) publish(ctx context.Context, p Publication) (published []Published, deduplicated bool, err error) {
	tasks, err := pub.prepare(&p)
	if err != nil {
		return nil, false, err
	}
	config, mustCheck := pub.QueueSettings(p.Queue), pub.registry.Known.Grouped.Due(p.Queue)
	switch p.plan(config, mustCheck) {
	case planAdd:
		published, err = pub.add(ctx, p.Queue, tasks)
	case planShared:
		published, err = pub.addWithState(ctx, p.Queue, tasks[0], p.State)
	default:
		err = errNotAdded
	}
	if errors.Is(err, errNotAdded) {
		return pub.runScript(ctx, p, config, tasks, mustCheck)
	}
	return published, false, err
}

// prepare checks a publication, resolves its queue, and encodes its tasks.
func (pub *Publisher) prepare(p *Publication) (tasks []encodedTask, err error) {
	if p.Queue, err = pub.QueueName(p.Queue); err != nil {
		return nil, err
	}
	if p.RequestID != "" {
		if err := job.CheckID("request_id", p.RequestID); err != nil {
			return nil, err
		}
	}
	return pub.encode(p)
}
