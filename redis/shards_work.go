package redis

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// Read leases tasks to a consumer, from any shards: Broker.Read. It fails when all of them
// do.
func (s *Shards) Read(ctx context.Context, r ReadRequest) ([]Delivery, error) {
	r, err := s.brokers[0].normalize(r)
	if err != nil {
		return nil, err
	}
	look := s.inTurn()
	if r.OwnPending || r.Wait <= 0 {
		deliveries, _, err := s.take(ctx, r, look)
		return deliveries, err
	}
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	signal := notify.NewSignal()
	places := make([]*waiter, len(s.brokers))
	for i, b := range s.brokers {
		places[i] = b.waiters.Enqueue(b.keys.tasks(r.Queue), r.Group, signal)
		defer places[i].Leave()
	}
	for {
		deliveries, rest, err := s.take(ctx, r, look)
		for _, i := range rest { // there may be more
			s.brokers[i].waiters.NotifyGroup(s.brokers[i].keys.tasks(r.Queue), r.Group)
		}
		if err != nil || len(deliveries) > 0 {
			return deliveries, err
		}
		select {
		case <-signal.C:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		look = slices.DeleteFunc(s.inTurn(), func(i int) bool { return !places[i].Consume() })
	}
}

// inTurn lists the shards, beginning with the one whose turn it is.
func (s *Shards) inTurn() []int {
	order, first := make([]int, len(s.brokers)), s.any()
	for i := range order {
		order[i] = (first + i) % len(order)
	}
	return order
}

// take leases what there is in some shards, one after the other until there is enough. The
// rest of them may have more.
func (s *Shards) take(ctx context.Context, r ReadRequest, look []int) (all []Delivery, rest []int, err error) {
	away := 0
	for n, i := range look {
		part := r
		part.Max = r.Max - len(all)
		deliveries, err := s.brokers[i].take(ctx, part, nil)
		switch {
		case errors.Is(err, ErrUnavailable) && ctx.Err() == nil:
			if away++; away == len(s.brokers) {
				return nil, nil, err
			}
		case err != nil:
			s.Release(ctx, all)
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
func (s *Shards) Held(ctx context.Context, queue, group, consumer string) (Holding, error) {
	parts := make([]Holding, len(s.brokers))
	errs := s.all(func(i int, b *Broker) (err error) {
		parts[i], err = b.Held(ctx, queue, group, consumer)
		return err
	})
	if !slices.Contains(errs, nil) {
		return Holding{}, firstOf(errs)
	}
	held := Holding{Leases: make(map[Entry]HeldLease), IsComplete: true}
	for i, part := range parts {
		maps.Copy(held.Leases, part.Leases)
		held.IsComplete = held.IsComplete && part.IsComplete && errs[i] == nil
	}
	return held, firstOf(errs)
}

// Release gives deliveries back that nobody got: Broker.Release.
func (s *Shards) Release(ctx context.Context, deliveries []Delivery) {
	_, _ = scatter(s, deliveries, func(d Delivery) int { return s.under(d.Lease.Prefix) }, func(_ int, b *Broker, part []Delivery) ([]struct{}, error) {
		b.Release(ctx, part)
		return nil, nil
	})
}

// CancelledAmong says which of some jobs were cancelled.
func (s *Shards) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	found, errs := scatter(s, jobs, s.index, func(_ int, b *Broker, part []string) ([]string, error) {
		return b.CancelledAmong(ctx, part)
	})
	return slices.DeleteFunc(found, func(job string) bool { return job == "" }), firstOf(errs)
}

// Cancellations starts to listen for jobs that this process cancels. The caller must Close
// it.
func (s *Shards) Cancellations() *Cancellations { return cancellations(s.brokers...) }

// Ack settles deliveries without recording a result: Broker.Ack.
func (s *Shards) Ack(ctx context.Context, tokens []string) ([]AckResult, error) {
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	results, errs := scatter(s, tokens, s.holderIndex, func(_ int, b *Broker, part []string) ([]AckResult, error) {
		return b.Ack(ctx, part)
	})
	return results, firstOf(errs)
}

// Nack gives a delivery back: Broker.Nack.
func (s *Shards) Nack(ctx context.Context, r NackRequest) (Nacked, error) {
	return s.holder(r.Token).Nack(ctx, r)
}

// Extend renews a lease: Broker.Extend.
func (s *Shards) Extend(ctx context.Context, token string, fields map[string]string) (Extended, error) {
	return s.holder(token).Extend(ctx, token, fields)
}

// Complete records the terminal result of a job: Broker.Complete.
func (s *Shards) Complete(ctx context.Context, token string, result Result) (Recorded, error) {
	return s.holder(token).Complete(ctx, token, result)
}

// CompleteBatch is Complete for many tasks: Broker.CompleteBatch.
func (s *Shards) CompleteBatch(ctx context.Context, all []Completion) ([]Outcome, error) {
	if err := checkCompletions(all); err != nil {
		return nil, err
	}
	outcomes, _ := scatter(s, all, func(c Completion) int { return s.holderIndex(c.Token) }, func(_ int, b *Broker, part []Completion) ([]Outcome, error) {
		return b.completeBatch(ctx, part), nil
	})
	return outcomes, nil
}
