package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// QueueInfo is what a queue holds.
type QueueInfo struct {
	Name string
	// Waiting is how many tasks were not delivered yet, in the group that has most of
	// them. The default group counts only once a worker has read with it, unless there is no
	// other.
	Waiting int64
	Leased  int64 // delivered and not settled, in all groups
	Delayed int64
	Dead    int64
	// Oldest is when the longest waiting task was published; in a fair queue, the task whose
	// turn it is. It is zero when no task waits.
	Oldest time.Time
	// Paused is when the queue was paused; zero when it is not.
	Paused time.Time
	Groups []job.GroupInfo
}

// describeChunk is how many queues are described in one round trip.
const describeChunk = 100

// List lists a page of the known queues in the order of their names: count of them after
// one, "" for the first, and the last name of the page, "" at the end. Queues whose keys hold
// another type are left out.
func (q *Queues) List(ctx context.Context, after string, count int) (queues []QueueInfo, next string, err error) {
	names, err := q.QueueNames(ctx)
	if err != nil {
		return nil, "", err
	}
	names, next, err = PageOfNames(names, after, count)
	if err != nil {
		return nil, "", err
	}
	queues, err = q.Describe(ctx, names)
	return queues, next, err
}

// PageOfNames returns a page of sorted names, and its last name, "" at the end.
func PageOfNames(names []string, after string, count int) (page []string, next string, err error) {
	if after != "" {
		if job.CheckQueue("", after) != nil {
			return nil, "", job.ErrPageToken
		}
		at, isListed := slices.BinarySearch(names, after)
		if isListed {
			at++
		}
		names = names[at:]
	}
	if len(names) <= count {
		return names, "", nil
	}
	return names[:count], names[count-1], nil
}

// Describe describes queues. Queues whose keys hold another type are left out.
func (q *Queues) Describe(ctx context.Context, names []string) ([]QueueInfo, error) {
	var infos []QueueInfo
	for chunk := range slices.Chunk(names, describeChunk) {
		counts, err := q.count(ctx, chunk)
		if err != nil {
			return nil, err
		}
		for _, c := range counts {
			info, err := c.info, c.err
			if err == nil && !c.isExact {
				info, err = q.describe(ctx, info.Name)
			}
			if errors.Is(err, job.ErrKeyType) {
				q.Log.Warn("a queue's key holds another type", "queue", c.info.Name)
				continue
			}
			if err != nil {
				return nil, err
			}
			infos = append(infos, info)
		}
	}
	return infos, nil
}

// Get describes a queue; "" is the default queue. ErrQueueNotFound when there is none.
func (q *Queues) Get(ctx context.Context, name string) (QueueInfo, error) {
	name, err := q.existingQueue(ctx, name)
	if err != nil {
		return QueueInfo{}, err
	}
	info, err := q.describe(ctx, name)
	if err == nil {
		err = q.inspectGroups(ctx, name, info.Groups)
	}
	return info, err
}

// existingQueue returns the queue that a request means. ErrQueueNotFound when it is not known.
func (q *Queues) existingQueue(ctx context.Context, name string) (string, error) {
	name, err := q.QueueName(name)
	if err != nil || q.Settings.IsNamed(name) {
		return name, err
	}
	pipe := q.Commands.Pipeline()
	isKnown, exists := pipe.SIsMember(ctx, q.Keys.Tenant().Queues(), name), pipe.Exists(ctx, q.Keys.Tasks(name))
	_, err = pipe.Exec(ctx)
	if err == nil && !isKnown.Val() && exists.Val() == 0 {
		return name, job.ErrQueueNotFound
	}
	return name, conn.Translate("look for queue", err, conn.Repeatable)
}

// describe describes a queue. Where raw peers have left more settled entries than can be counted
// one by one, it removes them first, as the cleaner would.
func (q *Queues) describe(ctx context.Context, name string) (QueueInfo, error) {
	for isTrimmed := false; ; isTrimmed = true {
		counts, err := q.count(ctx, []string{name})
		if err != nil {
			return QueueInfo{}, err
		}
		if c := counts[0]; c.err != nil || c.isExact || isTrimmed {
			return c.info, c.err
		}
		if err := q.trimmer.trim(ctx, name); err != nil {
			return QueueInfo{}, err
		}
	}
}
