package watch

import (
	"context"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// Hub finds out what has changed in a shard, and tells watches and waiting reads.
type Hub struct {
	*conn.Shard
	results  *result.Lookup
	waiters  Waitlists
	watches  *Subscriptions
	events   *eventReader
	states   *stateReader
	tracking *tracking
	polling  *polling
}

// NewHub returns a hub, whose work ends with ctx. Start begins it.
func NewHub(ctx context.Context, shard *conn.Shard, results *result.Lookup, states *state.Store, waiters Waitlists, watches *Subscriptions) *Hub {
	h := &Hub{Shard: shard, results: results, waiters: waiters, watches: watches}
	h.tracking = &tracking{Shard: shard, waiters: waiters, watches: watches}
	h.events = &eventReader{Shard: shard, results: results, watches: watches, tracking: h.tracking, closed: ctx.Done(), requests: make(chan readRequest, readPage)}
	h.states = &stateReader{Shard: shard, states: states, watches: watches, tracking: h.tracking, events: h.events, watched: newStateReads()}
	h.polling = &polling{Shard: shard, waiters: waiters, watches: watches, states: h.states, tracking: h.tracking}
	h.tracking.events, h.tracking.states = h.events, h.states
	return h
}

// Start begins the work in the background: the group ends once ctx has ended.
func (h *Hub) Start(ctx context.Context, work *sync.WaitGroup) {
	for _, run := range []func(context.Context){h.events.Run, h.states.Run, h.tracking.Run, h.tracking.Rearm, h.polling.PollEvents, h.polling.PollTasks} {
		work.Go(func() { run(ctx) })
	}
}

// WaitStats say who waits at a broker, and how he is woken.
type WaitStats struct {
	// Tracking: Redis rings for what others write. Else it is found by sweeping.
	Tracking bool
	// Trackers is how often it began to: once, unless its connections broke.
	Trackers int64
	Workers  int // waiting Reads
	Keys     int // completion streams and states that are watched
	Polled   int // of these, how many are polled though Tracking: Redis can't remember them all
	// Rings is how often Redis told of a changed key, Reads how many keys were looked at,
	// Pipelines in how many round trips, and Sweeps how often all keys were swept.
	Rings, Reads, Pipelines, Sweeps int64
}

// WaitStats tells who waits.
func (h *Hub) WaitStats() WaitStats {
	s := WaitStats{Tracking: h.tracking.tracker.Load() != nil, Trackers: h.tracking.trackers.Load(), Rings: h.tracking.rings.Load(),
		Reads: h.events.read.Load(), Pipelines: h.events.pipelines.Load(), Sweeps: h.polling.sweeps.Load()}
	keys, tracked := h.watches.Len()
	if s.Workers, s.Keys = h.waiters.Len(), keys; s.Tracking {
		s.Polled = keys - tracked
	}
	return s
}

// Watcher makes one without jobs. The caller must Close it.
func (h *Hub) Watcher() *Watcher {
	return &Watcher{Of: func(string) *Hub { return h }, inbox: notify.NewInbox[*jobWatch, update](), jobs: make(map[string]*jobWatch), looks: firstLooks}
}
