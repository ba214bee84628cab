package broker

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Tasks publishes, leases and settles tasks.
type Tasks struct{ *shardSet }

// Read leases tasks to a consumer, from any shards: first those whose lease ran out, oldest first,
// then new ones. It returns none when there are none until Wait is over. When the context ends, what
// was leased meanwhile is given back at once, and the context's error is returned. It fails when all
// shards do.
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

// place is a shard that a read looks into, and what a publisher has leased there for the read.
type place struct {
	shard *shard
	grant *queue.Grant
}

// inTurn lists the shards, beginning with the one whose turn it is.
func (s *shardSet) inTurn() []place {
	order, first := make([]place, len(s.shards)), s.any()
	for i := range order {
		order[i].shard = s.shards[(first+i)%len(order)]
	}
	return order
}

// take leases what there is in some shards, one after the other until there is enough. The rest of
// them may have more.
func (t *Tasks) take(ctx context.Context, r queue.ReadRequest, look []place) (all []queue.Delivery, rest []place, err error) {
	away := 0
	for n, p := range look {
		part := r
		part.Max = r.Max - len(all)
		deliveries, err := p.shard.reader.Take(ctx, part, p.grant)
		switch {
		case errors.Is(err, job.ErrUnavailable) && ctx.Err() == nil:
			if away++; away == len(t.shards) {
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

// Held lists what a consumer holds: Broker.Held. With ErrUnavailable it lists what lies in
// the shards that answer, if any does.
func (t *Tasks) Held(ctx context.Context, name, group, consumer string) (queue.Holding, error) {
	parts := make([]queue.Holding, len(t.shards))
	errs := t.all(func(i int, b *shard) (err error) {
		parts[i], err = b.reader.Held(ctx, name, group, consumer)
		return err
	})
	if !slices.Contains(errs, nil) {
		return queue.Holding{}, firstOf(errs)
	}
	held := queue.Holding{Leases: make(map[queue.Entry]queue.HeldLease), IsComplete: true}
	for i, part := range parts {
		maps.Copy(held.Leases, part.Leases)
		held.IsComplete = held.IsComplete && part.IsComplete && errs[i] == nil
	}
	return held, firstOf(errs)
}

// Release gives deliveries back that nobody got: Broker.Release.
func (t *Tasks) Release(ctx context.Context, deliveries []queue.Delivery) {
	_, _ = scatter(t.shardSet, deliveries, func(d queue.Delivery) int { return t.under(d.Lease.Prefix) }, func(_ int, b *shard, part []queue.Delivery) ([]struct{}, error) {
		b.settler.Release(ctx, part)
		return nil, nil
	})
}

// CancelledAmong says which of some jobs were cancelled.
func (t *Tasks) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	found, errs := scatter(t.shardSet, jobs, t.index, func(_ int, b *shard, part []string) ([]string, error) {
		return b.canceller.CancelledAmong(ctx, part)
	})
	return slices.DeleteFunc(found, func(job string) bool { return job == "" }), firstOf(errs)
}

// Cancellations starts to listen for jobs that this process cancels. The caller must Close
// it.
func (t *Tasks) Cancellations() *watch.Cancellations {
	all := make([]*watch.Subscriptions, len(t.shards))
	for i, b := range t.shards {
		all[i] = b.watches
	}
	return watch.NewCancellations(all...)
}

// Ack settles deliveries without recording a result: Broker.Ack.
func (t *Tasks) Ack(ctx context.Context, tokens []string) ([]queue.AckResult, error) {
	if err := queue.CheckTokens(tokens); err != nil {
		return nil, err
	}
	results, errs := scatter(t.shardSet, tokens, t.holderIndex, func(_ int, b *shard, part []string) ([]queue.AckResult, error) {
		return b.settler.Ack(ctx, part)
	})
	return results, firstOf(errs)
}

// Nack gives a delivery back: Broker.Nack.
func (t *Tasks) Nack(ctx context.Context, r queue.NackRequest) (queue.Nacked, error) {
	return t.holder(r.Token).settler.Nack(ctx, r)
}

// Extend renews a lease: Broker.Extend.
func (t *Tasks) Extend(ctx context.Context, token string, fields map[string]string) (queue.Extended, error) {
	return t.holder(token).settler.Extend(ctx, token, fields)
}

// Complete records the terminal result of a job: Broker.Complete.
func (t *Tasks) Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error) {
	return t.holder(token).recorder.Complete(ctx, token, result)
}

// CompleteBatch is Complete for many tasks: Broker.CompleteBatch.
func (t *Tasks) CompleteBatch(ctx context.Context, all []result.Completion) ([]result.Outcome, error) {
	if err := result.CheckCompletions(all); err != nil {
		return nil, err
	}
	outcomes, _ := scatter(t.shardSet, all, func(c result.Completion) int { return t.holderIndex(c.Token) }, func(_ int, b *shard, part []result.Completion) ([]result.Outcome, error) {
		return b.recorder.CompleteAll(ctx, part), nil
	})
	return outcomes, nil
}
