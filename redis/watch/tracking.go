package watch

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// tracking has Redis push which keys have changed, over one connection, while there is one.
type tracking struct {
	*conn.Shard
	waiters Waitlists
	watches *Subscriptions
	events  *eventReader
	states  *stateReader

	// tracker is the connection, nil while there is none.
	tracker   atomic.Pointer[conn.Tracker]
	trackers  atomic.Int64 // how many there were
	rings     atomic.Int64 // how many changed keys were pushed
	vain      vainRings
	hasWarned atomic.Bool // of a table of tracked keys that is too small
}

// Waitlists are the waiters of task streams, as far as the changes of these are found here.
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

// Run has Redis ring the bell, from the first time that someone waits. After
// each connection it wakes everyone: rings may have been missed, and what is not read
// anew is not rung for.
func (tr *tracking) Run(ctx context.Context) {
	select {
	case <-tr.waiters.Used():
	case <-tr.watches.Used():
	case <-ctx.Done():
		return
	}
	told := ""
	tell := func(mode string, args ...any) {
		if told != mode {
			tr.Log.Info(mode, args...)
		}
		told = mode
	}
	for {
		t, err := tr.Track(ctx)
		period := conn.RetryPeriod
		switch {
		case ctx.Err() != nil:
		case errors.Is(err, conn.ErrUntracked):
			tell("what others write is found by sweeping: Redis does not track keys", "reason", err)
			period = untrackedPeriod
		case err != nil:
			tr.Log.Debug("could not have Redis track keys", "error", err)
		default:
			tell("what others write is rung for by Redis")
			tr.trackers.Add(1)
			tr.tracker.Store(t)
			tr.watches.SetPushed(true)
			tr.notifyAll()
			alive, end := context.WithCancel(ctx)
			var check sync.WaitGroup
			check.Go(func() { tr.KeepToOwner(alive, t) })
			err := t.Run(ctx, func(keys []string) { tr.changed(t, keys) })
			end()
			tr.tracker.Store(nil)
			tr.watches.SetPushed(false)
			t.Fail(err)
			tr.notifyAll()
			check.Wait()
			tr.Log.Debug("the tracker ended", "error", err)
		}
		if !conn.Pause(ctx, period) {
			return
		}
	}
}

// sharedAnswer is how large an answer may be that waits at those who listen. A larger one is
// read again when they come to it.
const sharedAnswer = 64 << 10

// notifyAll wakes every watch, and the first waiter of every waitlist: changes may have been missed.
func (t *tracking) notifyAll() {
	t.watches.NotifyAll()
	t.waiters.Reset()
}

// changedReads are the reads that changed keys need: of a stream that is watched the entries that
// a watch of it does not know, of a task stream that has waiters the last entry. States are read in
// their own way.
func (t *tracking) changedReads(keys []string) (reads []keyRead, states []string) {
	for _, key := range keys {
		switch change := t.watches.Changed(key); {
		case !change.HasSubscriptions:
		case change.IsValue:
			states = append(states, key)
		default:
			reads = append(reads, keyRead{key: key, from: change.Position, count: firstEvents})
		}
		if t.waiters.Has(key) {
			reads = append(reads, keyRead{key: key, from: newest, count: 1})
		}
	}
	return reads, states
}

// changed reads what Redis told has changed, nil for everything, and rings when it was read:
// with events for those who watch them, for workers if there is a new task. States are read
// a little later, if they were read just now.
func (tr *tracking) changed(t *conn.Tracker, keys []string) {
	if keys == nil {
		tr.notifyAll()
		return
	}
	tr.rings.Add(int64(len(keys)))
	reads, states := tr.changedReads(keys)
	for _, key := range states {
		tr.states.watched.rung(key)
	}
	if len(reads) == 0 {
		return
	}
	tr.events.read.Add(int64(len(reads)))
	tr.events.pipelines.Add(1)
	var out []byte
	questions := make([]conn.Question, len(reads))
	for i, r := range reads {
		out = resp.AppendCommand(out, r.words())
		questions[i] = func(raw string) {
			switch {
			case raw == "": // everything will be rung for
			case r.from == newest:
				tr.taskAdded(r, raw)
			case len(raw) > sharedAnswer:
				tr.count(false)
				tr.watches.NotifyKey(r.key)
			default:
				tr.count(r.isOld(raw))
				tr.watches.Deliver(r.key, &update{keyRead: r, raw: raw, at: tr.events.answers.Add(1)})
			}
		}
	}
	t.Ask(out, questions)
}

// taskAdded wakes a worker for the newest entry of a task stream, if nobody was yet. Most
// rings are for entries that were deleted.
func (t *tracking) taskAdded(r keyRead, raw string) {
	reply := r.reply(raw)
	switch {
	case reply.err != nil: // let it be read again, with all that may be necessary
		t.waiters.Disarm(r.key)
	case len(reply.entries) > 0:
		t.waiters.NotifyNew(r.key, reply.entries[0].Id, 1)
	}
}

// Rearm has Redis ring for the task streams that workers begin to wait for. Reading a group
// does not ask for a ring, so the stream's last entry is looked at; when it is newer than what
// was rung for, there is work.
func (t *tracking) Rearm(ctx context.Context) {
	for {
		select {
		case <-t.waiters.Arm():
		case <-ctx.Done():
			return
		}
		if t.tracker.Load() == nil {
			continue // everything is disarmed when there is one
		}
		keys := t.waiters.Unarmed()
		reads := make([]keyRead, len(keys))
		for i, key := range keys {
			reads[i] = keyRead{key: key, from: newest, count: 1}
		}
		replies, err := t.events.readKeys(ctx, reads)
		if err != nil {
			return
		}
		for i, key := range keys {
			if entries := replies[i].entries; len(entries) > 0 {
				t.waiters.NotifyNew(key, entries[0].Id, 1)
			}
			if replies[i].err != nil { // let someone see what is wrong
				t.waiters.NotifyEach(key, 1)
			}
		}
	}
}
