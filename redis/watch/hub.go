package watch

import (
	"context"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Hub finds out which watched keys of a shard have changed, and notifies their watches and the waiting
// workers. It owns the goroutines that do so.
type Hub struct {
	*conn.Shard
	results       *result.Lookup
	waiters       Waitlists
	subscriptions *Subscriptions
	events        *eventReader
	states        *stateReader
	tracking      *tracking
	polling       *polling
}

// NewHub returns a hub. Run must be called for it.
func NewHub(shard *conn.Shard, results *result.Lookup, states *state.Store, waiters Waitlists, subscriptions *Subscriptions) *Hub {
	active, trips, schedule := &activeConn{}, &roundTrips{}, newStateSchedule()
	limit := &trackingLimit{log: shard.Log, subscriptions: subscriptions}
	h := &Hub{Shard: shard, results: results, waiters: waiters, subscriptions: subscriptions}
	h.events = newEventReader(shard, results, subscriptions, active, trips)
	h.states = newStateReader(shard.Conn, states, schedule, subscriptions, limit, active, trips)
	h.tracking = &tracking{log: shard.Log, waiters: waiters, subscriptions: subscriptions, events: h.events, states: schedule,
		limit: limit, active: active, trips: trips}
	h.tracking.connect, h.tracking.keepToOwner = trackShard(shard.Conn)
	h.polling = &polling{log: shard.Log, xread: shard.Commands.XRead, waiters: waiters, subscriptions: subscriptions, states: schedule, active: active}
	return h
}

// trackShard returns the functions of tracking that need a connection to Redis.
func trackShard(c *conn.Conn) (connect func(context.Context) (trackingConn, error), keepToOwner func(context.Context, trackingConn)) {
	connect = func(ctx context.Context) (trackingConn, error) {
		tracker, err := c.Track(ctx)
		if err != nil {
			return nil, err // not a nil tracker in an interface
		}
		return tracker, nil
	}
	keepToOwner = func(ctx context.Context, tracker trackingConn) { c.KeepToOwner(ctx, tracker.(*conn.Tracker)) }
	return connect, keepToOwner
}

// Run works until ctx ends, and returns when all its goroutines have ended. Reads of watches fail with
// ErrUnavailable from then on.
func (h *Hub) Run(ctx context.Context) {
	var work sync.WaitGroup
	for _, run := range []func(context.Context){h.events.Run, h.states.Run, h.tracking.Run, h.tracking.Arm, h.polling.PollWatched, h.polling.PollTasks} {
		work.Go(func() { run(ctx) })
	}
	work.Wait()
}

// WaitStats count what waits in a shard, and what finding changes costs.
type WaitStats struct {
	// Tracking: Redis pushes changes. Otherwise they are polled.
	Tracking bool
	// Connections is how many tracking connections were made: one, unless they broke.
	Connections int64
	Workers     int // waiting Reads
	Keys        int // watched streams and states
	Polled      int // of these, how many are polled although Tracking: Redis cannot remember them all
	// Changes is how many changed keys Redis pushed, Reads how many keys were read, Pipelines in how
	// many round trips, and Polls how often all polled keys were polled.
	Changes, Reads, Pipelines, Polls int64
}

// WaitStats returns the counts.
func (h *Hub) WaitStats() WaitStats {
	s := WaitStats{Tracking: h.tracking.active.isUp(), Connections: h.tracking.connections.Load(), Changes: h.tracking.changes.Load(),
		Reads: h.tracking.trips.keys.Load(), Pipelines: h.tracking.trips.pipelines.Load(), Polls: h.polling.polls.Load()}
	keys, tracked := h.subscriptions.Len()
	if s.Workers, s.Keys = h.waiters.Len(), keys; s.Tracking {
		s.Polled = keys - tracked
	}
	return s
}
