package watch

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
)

// keyReader reads watched keys, each with its own error. While there is a tracking connection it
// reads over that, so that Redis pushes the next change. Polled keys, and keys that the connection's
// node does not have, are read over the connection pool.
type keyReader[Q keyQuery, R keyResult] struct {
	active        *activeConn
	subscriptions *Subscriptions
	// tracked reads over the tracking connection; nil when that breaks.
	tracked func(trackingConn, []Q) []R
	pooled  func(context.Context, []Q) []R
	// reread has a key read again, whose change may not be pushed.
	reread func(key string)
}

// keyQuery is what to read of one key, keyResult what was found.
type (
	keyQuery  interface{ watchedKey() string }
	keyResult interface{ failure() error }
)

// read reads a page of keys.
func (r *keyReader[Q, R]) read(ctx context.Context, page []Q) []R {
	c := r.active.get()
	tracked, others := r.subscriptions.Divide(c != nil, len(page), func(i int) string { return page[i].watchedKey() })
	results := make([]R, len(page))
	if len(tracked) > 0 {
		found := r.tracked(c, choose(page, tracked))
		if found == nil { // the connection broke
			others = append(others, tracked...)
		} else {
			put(results, tracked, found)
			others = append(others, r.redirected(c, page, results, tracked)...)
		}
	}
	if len(others) > 0 {
		put(results, others, r.pooled(ctx, choose(page, others)))
	}
	return results
}

// redirected returns those of the tracked reads that the connection's node redirected. Elsewhere their
// changes are not pushed, so they are read again soon; a node that has lost the slot ends the connection.
func (r *keyReader[Q, R]) redirected(c trackingConn, page []Q, results []R, tracked []int) (redirected []int) {
	for _, i := range tracked {
		err := results[i].failure()
		if conn.IsMoved(err) {
			c.Fail(conn.ErrTrackerBroken)
		} else if !conn.IsAsk(err) {
			continue
		}
		redirected = append(redirected, i)
		key := page[i].watchedKey()
		time.AfterFunc(conn.RetryPeriod, func() { r.reread(key) })
	}
	return redirected
}

func choose[T any](all []T, at []int) []T {
	some := make([]T, len(at))
	for n, i := range at {
		some[n] = all[i]
	}
	return some
}

func put[T any](all []T, at []int, some []T) {
	for n, i := range at {
		all[i] = some[n]
	}
}

// roundTrips counts reads of watched keys, and the round trips that they took.
type roundTrips struct{ keys, pipelines atomic.Int64 }

func (t *roundTrips) add(keys int) {
	t.keys.Add(int64(keys))
	t.pipelines.Add(1)
}
