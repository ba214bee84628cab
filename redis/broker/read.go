package broker

import (
	"context"
	"errors"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Read leases tasks to a consumer, from any shards: first those whose lease has expired, oldest first,
// then new ones. It returns none when none came until Wait is over. When the context ends, what was
// leased meanwhile is released at once, and the context's error is returned. It fails when all shards
// do.
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
	for targets := t.inTurn(); ; targets = w.notified() {
		deliveries, rest, err := t.take(ctx, r, targets)
		for _, target := range rest { // there may be more
			target.shard.waiters.NotifyGroup(target.shard.Keys.Tasks(r.Queue), r.Group)
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

// target is a shard to read from, and what a publisher has leased there for the read.
type target struct {
	shard *shard
	grant *queue.Grant
}

// inTurn lists the shards, beginning with the one whose turn it is.
func (s *shardSet) inTurn() []target {
	targets, first := make([]target, len(s.shards)), s.nextIndex()
	for i := range targets {
		targets[i].shard = s.shards[(first+i)%len(targets)]
	}
	return targets
}

// take leases what is available in some shards, one after the other until there is enough. The rest of
// them may have more.
func (t *Tasks) take(ctx context.Context, r queue.ReadRequest, targets []target) (all []queue.Delivery, rest []target, err error) {
	unavailable := 0
	for n, target := range targets {
		part := r
		part.Max = r.Max - len(all)
		deliveries, err := target.shard.reader.Take(ctx, part, target.grant)
		switch {
		case errors.Is(err, job.ErrUnavailable) && ctx.Err() == nil:
			if unavailable++; unavailable == len(t.shards) {
				return nil, nil, err
			}
		case err != nil:
			t.Release(ctx, all)
			return nil, targets[n+1:], err
		}
		if all = append(all, deliveries...); len(all) == r.Max {
			return all, targets[n+1:], nil
		}
	}
	return all, nil, nil
}

// waitingRead waits for tasks in all shards at a time.
type waitingRead struct {
	set     *shardSet
	signal  *notify.Signal
	waiters []*queue.Waiter // by shard
}

// enqueue adds a read to the waitlists of all shards. The caller must call leave.
func (s *shardSet) enqueue(r queue.ReadRequest) *waitingRead {
	w := &waitingRead{s, notify.NewSignal(), make([]*queue.Waiter, len(s.shards))}
	for i, s := range s.shards {
		w.waiters[i] = s.waiters.Enqueue(s.Keys.Tasks(r.Queue), r.Group, w.signal)
	}
	return w
}

// accept lets a publisher lease what the read requests on its behalf, until the read next consumes a
// notification.
func (w *waitingRead) accept(r *queue.ReadRequest) {
	for _, waiter := range w.waiters {
		waiter.Accept(r)
	}
}

// notified lists the shards that notified the read. The one in which it was granted something comes
// first, so that there is room for it.
func (w *waitingRead) notified() (targets []target) {
	first := w.set.nextIndex()
	for i := range w.waiters {
		at := (first + i) % len(w.waiters)
		if !w.waiters[at].Consume() {
			continue
		}
		found := target{w.set.shards[at], w.waiters[at].Take()}
		if targets = append(targets, found); found.grant != nil {
			targets[0], targets[len(targets)-1] = targets[len(targets)-1], targets[0]
		}
	}
	return targets
}

// leave ends the wait. What a publisher has leased for the read meanwhile is released.
func (w *waitingRead) leave(ctx context.Context) {
	for i, waiter := range w.waiters {
		waiter.Leave()
		if grant := waiter.Take(); grant != nil {
			w.set.shards[i].reader.ReturnGrant(ctx, grant)
		}
	}
}
