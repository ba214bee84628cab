package watch

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// bundle is a shard's parts around an in-process Redis, inside a synctest bubble.
type bundle struct {
	*testing.T
	ctx           context.Context
	redis         *fakeRedis
	keys          job.Keys
	waiters       *notify.Waitlists[int, int]
	subscriptions *Subscriptions
	active        *activeConn
	trips         *roundTrips
	limit         *trackingLimit
	schedule      *stateSchedule
	events        *eventReader
	states        *stateReader
	log           *slog.Logger
	logged        *bytes.Buffer
	work          sync.WaitGroup
}

// inBubble runs a test with fake time. Everything started with run has ended when it returns.
func inBubble(t *testing.T, test func(b *bundle)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		b := newBundle(t, ctx)
		defer b.work.Wait()
		defer cancel()
		test(b)
	})
}

func newBundle(t *testing.T, ctx context.Context) *bundle {
	keys := job.Keys{Prefix: "{test}:"}
	b := &bundle{T: t, ctx: ctx, redis: newFakeRedis(), keys: keys, waiters: notify.NewWaitlists[int, int](job.CursorLess),
		subscriptions: NewSubscriptions(keys), active: &activeConn{}, trips: &roundTrips{}, schedule: newStateSchedule(), logged: &bytes.Buffer{}}
	b.log = slog.New(slog.NewTextHandler(b.logged, nil))
	b.limit = &trackingLimit{log: b.log, subscriptions: b.subscriptions}
	b.events = &eventReader{trips: b.trips, addSnapshots: b.redis.addSnapshots, requests: make(chan eventRequest, maxPage), closed: make(chan struct{}),
		streams: &keyReader[streamRead, streamReply]{
			active: b.active, subscriptions: b.subscriptions, reread: b.subscriptions.NotifyKey, pooled: b.redis.pooledStreams,
			tracked: func(c trackingConn, page []streamRead) []streamReply { return trackStreams(b.active, c, page) },
		}}
	b.states = &stateReader{schedule: b.schedule, subscriptions: b.subscriptions, limit: b.limit, trips: b.trips,
		states: &keyReader[*scheduledState, stateResult]{
			active: b.active, subscriptions: b.subscriptions, tracked: trackStates, pooled: b.redis.pooledStates,
			reread: func(key string) { b.schedule.request(key) },
		}}
	return b
}

func (b *bundle) run(work func(context.Context)) { b.work.Go(func() { work(b.ctx) }) }

// subscribe adds a subscription to a key with an inbox of its own.
func (b *bundle) subscribe(key, position string, isValue bool) *subscription {
	s := &subscription{Inbox: notify.NewInbox[*jobWatch, update](), Key: key, IsValue: isValue}
	b.subscriptions.Subscribe(s, position)
	return s
}

// take waits until nothing runs, and returns what is in a subscription's inbox.
func (b *bundle) take(s *subscription) []notification {
	synctest.Wait()
	return s.Inbox.Take(100)
}

// expectRead fails unless a subscription was notified, without a payload.
func (b *bundle) expectRead(s *subscription) {
	b.Helper()
	if got := b.take(s); len(got) != 1 || got[0].Payload != nil {
		b.Fatalf("the notifications of %s are %v, want one to read it", s.Key, got)
	}
}

// expectNothing fails if a subscription was notified.
func (b *bundle) expectNothing(s *subscription) {
	b.Helper()
	if got := b.take(s); len(got) != 0 {
		b.Fatalf("the notifications of %s are %v, want none", s.Key, got)
	}
}
