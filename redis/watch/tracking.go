package watch

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// tracking has Redis push which keys have changed (CLIENT TRACKING), over one connection. Redis pushes
// the next change of a key only after the key was read over that connection again.
type tracking struct {
	log           *slog.Logger
	connect       func(context.Context) (trackingConn, error)
	keepToOwner   func(context.Context, trackingConn) // ends the connection when its node loses the keys
	waiters       Waitlists
	subscriptions *Subscriptions
	events        *eventReader
	states        *stateSchedule
	limit         *trackingLimit
	active        *activeConn
	trips         *roundTrips

	mode        string       // the last one that was logged
	connections atomic.Int64 // made so far
	changes     atomic.Int64 // keys pushed so far
}

// Waitlists are the waiting workers of task streams, as far as the changes of these are found here:
// notify.Waitlists.
type Waitlists interface {
	Used() <-chan struct{}
	Has(key string) bool
	Len() int
	NotifyEach(key string, n int)
	NotifyNew(key, entry string, n int)
	NotifyAll() int
	Reset()
	Disarm(key string)
	Arm() <-chan struct{}
	Unarmed() []string
}

const (
	// refusedPeriod is how long a Redis that does not track keys is not asked again.
	refusedPeriod = time.Minute
	// maxPayload bounds a reply that waits in the inboxes of watches. A larger one is read again when
	// they take it.
	maxPayload = 64 << 10
)

// Run keeps a tracking connection, from the first time that something is watched or waited for until
// ctx ends.
func (t *tracking) Run(ctx context.Context) {
	select {
	case <-t.waiters.Used():
	case <-t.subscriptions.Used():
	case <-ctx.Done():
		return
	}
	for {
		c, err := t.connect(ctx)
		period := conn.RetryPeriod
		switch {
		case err == nil:
			t.serve(ctx, c)
		case ctx.Err() != nil:
		case errors.Is(err, conn.ErrUntracked):
			t.logMode("change notifications are unavailable: watched keys are polled", "reason", err)
			period = refusedPeriod
		default:
			t.log.Debug("could not open the tracking connection", "error", err)
		}
		if !conn.Pause(ctx, period) {
			return
		}
	}
}

// logMode logs a mode unless it is the one that was logged last.
func (t *tracking) logMode(mode string, args ...any) {
	if t.mode != mode {
		t.log.Info(mode, args...)
	}
	t.mode = mode
}

// serve receives changes over a connection until it breaks or ctx ends. Before and after, changes may
// be missed, so everything is notified.
func (t *tracking) serve(ctx context.Context, c trackingConn) {
	t.logMode("change notifications enabled (CLIENT TRACKING)")
	t.connections.Add(1)
	t.active.set(c)
	t.subscriptions.SetPushed(true)
	notifyAll(t.subscriptions, t.waiters)
	checking, endCheck := context.WithCancel(ctx)
	var check sync.WaitGroup
	check.Go(func() { t.keepToOwner(checking, c) })
	err := c.Run(ctx, func(keys []string) { t.changed(c, keys) })
	endCheck()
	t.active.set(nil)
	t.subscriptions.SetPushed(false)
	c.Fail(err)
	notifyAll(t.subscriptions, t.waiters)
	check.Wait()
	t.log.Debug("tracking connection ended", "error", err)
}

// notifyAll notifies every watch, and the first waiter of every waitlist: changes may have been missed.
func notifyAll(subscriptions *Subscriptions, waiters Waitlists) {
	subscriptions.NotifyAll()
	waiters.Reset()
}

// changed reads the keys that Redis pushed, nil for all, and delivers each reply when it is received.
// It runs on the goroutine that receives the replies, so it does not wait for them.
func (t *tracking) changed(c trackingConn, keys []string) {
	if keys == nil {
		notifyAll(t.subscriptions, t.waiters)
		return
	}
	t.changes.Add(int64(len(keys)))
	reads := t.readsOf(keys)
	if len(reads) == 0 {
		return
	}
	t.trips.add(len(reads))
	var out []byte
	questions := make([]conn.Question, len(reads))
	for i, r := range reads {
		out = resp.AppendCommand(out, r.command())
		questions[i] = func(raw string) { t.deliver(r, raw) }
	}
	c.Ask(out, questions)
}

// readsOf returns the reads that changed keys need: of a watched stream the entries that one of its
// watches does not know, of a task stream with waiters the last entry. States are scheduled instead.
func (t *tracking) readsOf(keys []string) (reads []streamRead) {
	for _, key := range keys {
		switch change := t.subscriptions.Changed(key); {
		case !change.HasSubscriptions:
		case change.IsValue:
			t.states.pushed(key)
		default:
			reads = append(reads, streamRead{key: key, from: change.Position, count: firstEvents})
		}
		if t.waiters.Has(key) {
			reads = append(reads, lastEntry(key))
		}
	}
	return reads
}

// deliver passes on the reply to a read of a changed key; "" when the connection broke, after which
// everything is notified.
func (t *tracking) deliver(r streamRead, raw string) {
	switch {
	case raw == "":
	case r.from == newest:
		t.taskAdded(r, raw)
	case len(raw) > maxPayload:
		t.limit.pushed(false)
		t.subscriptions.NotifyKey(r.key)
	default:
		t.limit.pushed(r.hasNothingNew(raw))
		t.subscriptions.Deliver(r.key, &update{streamRead: r, raw: raw, seq: t.active.nextSeq()})
	}
}

// taskAdded notifies a worker of the last entry of a task stream, unless one was notified of it
// before: most changes of a task stream are deletions.
func (t *tracking) taskAdded(r streamRead, raw string) {
	reply := r.parse(raw)
	switch {
	case reply.err != nil: // have it read again, following redirections
		t.waiters.Disarm(r.key)
	case len(reply.entries) > 0:
		t.waiters.NotifyNew(r.key, reply.entries[0].ID, 1)
	}
}

// Arm has Redis push the next change of the task streams that workers begin to wait for, until ctx
// ends. XREADGROUP does not make Redis track a stream, so its last entry is read; when that is newer
// than what the workers were notified of, there is a task.
func (t *tracking) Arm(ctx context.Context) {
	for {
		select {
		case <-t.waiters.Arm():
		case <-ctx.Done():
			return
		}
		if !t.active.isUp() {
			continue // a new connection disarms all keys
		}
		keys := t.waiters.Unarmed()
		reads := make([]streamRead, len(keys))
		for i, key := range keys {
			reads[i] = lastEntry(key)
		}
		replies, err := t.events.read(ctx, reads)
		if err != nil {
			return
		}
		for i, key := range keys {
			if entries := replies[i].entries; len(entries) > 0 {
				t.waiters.NotifyNew(key, entries[0].ID, 1)
			}
			if replies[i].err != nil { // a worker's own read reports the error
				t.waiters.NotifyEach(key, 1)
			}
		}
	}
}
