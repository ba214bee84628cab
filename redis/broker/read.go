package broker

import (
	"context"
	"errors"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Read leases up to r.Max tasks, at most job.MaxBatch, to a consumer, from any shards: first tasks
// whose lease expired, oldest first, then new ones. It may return fewer than there are, to keep a
// reply small.
//
// It blocks up to r.Wait until there is a task, and then returns none. When ctx ends, tasks that were
// leased meanwhile are released at once, and the context's error is returned. With OwnPending it
// returns what the consumer holds already, and does not wait.
//
// Errors: job.ErrGroupNotFound or job.ErrTooManyGroups (as a *job.GroupError) for a group that does
// not exist and can't be created; job.ErrUnavailable when all shards are.
func (t *Tasks) Read(ctx context.Context, r queue.ReadRequest) ([]queue.Delivery, error) {
	r, err := t.shards[0].reader.Normalize(r)
	if err != nil {
		return nil, err
	}
	if r.OwnPending || r.Wait <= 0 {
		deliveries, _, err := t.take(ctx, r, t.inTurn())
		return deliveries, err
	}
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	w := t.enqueue(r)
	defer w.leave(ctx)
	for look := t.inTurn(); ; look = w.notified() {
		deliveries, rest, err := t.take(ctx, r, look)
		for _, p := range rest { // there may be more
			p.shard.waiters.NotifyGroup(p.shard.Keys.Tasks(r.Queue), r.Group)
		}
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		w.accept(&r)
		select {
		case <-w.signal.C:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// place is a shard that a read looks into, with what a publisher has leased there on its behalf.
type place struct {
	shard *shard
	grant *queue.Grant
}

// inTurn lists the shards, beginning with the next one, so that none is preferred.
func (s *shardSet) inTurn() []place {
	order, first := make([]place, len(s.shards)), s.nextIndex()
	for i := range order {
		order[i].shard = s.shards[(first+i)%len(order)]
	}
	return order
}

// take leases tasks in some shards, one after the other, until there are enough. rest lists the shards
// that it did not look into. A shard that is unavailable is skipped, unless all are.
func (t *Tasks) take(ctx context.Context, r queue.ReadRequest, look []place) (all []queue.Delivery, rest []place, err error) {
	unavailable := 0
	for n, p := range look {
		part := r
		part.Max = r.Max - len(all)
		deliveries, err := p.shard.reader.Take(ctx, part, p.grant)
		switch {
		case errors.Is(err, job.ErrUnavailable) && ctx.Err() == nil:
			if unavailable++; unavailable == len(t.shards) {
				return nil, nil, err
			}
		case err != nil:
			t.Release(ctx, all)
			return nil, look[n+1:], err
		}
		if all = append(all, deliveries...); len(all) == r.Max {
			return all, look[n+1:], nil
		}
	}
	return all, nil, nil
}
