package watch

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// eventReader makes one pipeline of what many watches want to read at once. The reads go over the
// tracking connection while there is one: there each also asks for the next change to be pushed.
type eventReader struct {
	*conn.Shard
	results  *result.Lookup
	watches  *Subscriptions
	tracking *tracking
	closed   <-chan struct{}

	requests        chan readRequest
	read, pipelines atomic.Int64 // how many there were
	answers         atomic.Int64 // how many the tracking connection gave
}

// keyRead is one look at what a watch waits for.
type keyRead struct {
	key string
	// from is the entry to read from; newest for a stream's last entry.
	from string
	// count is how many entries to read at most.
	count int
	// about, if not "", is a job of which a snapshot is wanted too.
	about string
}

// newest, as the entry to read from, means only the last one.
const newest = "newest"

// words are the command that reads.
func (r keyRead) words() resp.Command {
	if r.from == newest {
		return resp.Command{"xrevrange", r.key, "+", "-", "count", "1"}
	}
	return resp.Command{"xrange", r.key, r.from, "+", "count", strconv.Itoa(r.count)}
}

// reply is what its command got.
func (r keyRead) reply(raw string) (found keyReply) {
	reply, err := resp.Parse(raw)
	if err == nil {
		found.entries, err = reply.Entries(), reply.Err
	}
	found.err = conn.Translate("read events", err, conn.Repeatable)
	found.hasMore, found.bytes = len(found.entries) == r.count, len(raw)
	return found
}

// keyReply is what a keyRead found.
type keyReply struct {
	entries  []resp.StreamEntry
	hasMore  bool // there may be more entries
	bytes    int  // of the entries
	snapshot Snapshot
	err      error
	// at counts what trackers were answered: of two replies the later one has the higher; 0 if
	// it is not known.
	at int64
}

type readRequest struct {
	keyRead
	reply chan<- numberedReply
	n     int
}

type numberedReply struct {
	keyReply
	n int
}

// readPage is how many keys one pipeline reads.
const readPage = 500

// readKeys reads keys, each with its own error. It fails as a whole when ctx ends.
func (er *eventReader) readKeys(ctx context.Context, reads []keyRead) ([]keyReply, error) {
	replies, all := make(chan numberedReply, len(reads)), make([]keyReply, len(reads))
	sent, received := 0, 0
	for received < len(reads) {
		var requests chan<- readRequest
		var next readRequest
		if sent < len(reads) {
			requests, next = er.requests, readRequest{reads[sent], replies, sent}
		}
		select {
		case requests <- next:
			sent++
		case r := <-replies:
			all[r.n] = r.keyReply
			received++
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-er.closed:
			return nil, job.ErrUnavailable
		}
	}
	return all, nil
}

// Run answers readKeys until ctx ends.
func (er *eventReader) Run(ctx context.Context) {
	for {
		var page []readRequest
		select {
		case r := <-er.requests:
			page = append(page, r)
		case <-ctx.Done():
			return
		}
	more:
		for len(page) < readPage {
			select {
			case r := <-er.requests:
				page = append(page, r)
			default:
				break more
			}
		}
		er.answer(ctx, page)
	}
}

// answer reads a page. What several want is read once, and they share the reply.
func (er *eventReader) answer(ctx context.Context, requests []readRequest) {
	page := make([]keyRead, 0, len(requests))
	places := make(map[keyRead]int, len(requests))
	for _, r := range requests {
		if _, ok := places[r.keyRead]; !ok {
			places[r.keyRead] = len(page)
			page = append(page, r.keyRead)
		}
	}
	er.read.Add(int64(len(page)))
	er.pipelines.Add(1)
	replies := er.readPage(ctx, page)
	er.addSnapshots(ctx, page, replies)
	for _, r := range requests {
		r.reply <- numberedReply{replies[places[r.keyRead]], r.n}
	}
}

// readPage reads a page, over the tracker where that can be.
func (er *eventReader) readPage(ctx context.Context, page []keyRead) []keyReply {
	return readDivided(er.tracking, page, func(r keyRead) string { return r.key },
		func(t *conn.Tracker, some []keyRead) []keyReply {
			found := er.readTracked(t, some)
			er.follow(ctx, t, some, found)
			return found
		},
		func(some []keyRead) []keyReply { return er.pipeline(ctx, some) })
}

// readDivided reads keys: over the tracker, while there is one, those that are not polled, and
// the others over any connection. Tracked returns nil when the tracker breaks, and its keys are
// then read like the others.
func readDivided[Q, R any](tr *tracking, page []Q, key func(Q) string, tracked func(*conn.Tracker, []Q) []R, other func([]Q) []R) []R {
	replies := make([]R, len(page))
	t := tr.tracker.Load()
	overTracker, others := tr.watches.Divide(t != nil, len(page), func(i int) string { return key(page[i]) })
	put := func(at []int, read func([]Q) []R) bool {
		some := make([]Q, len(at))
		for n, i := range at {
			some[n] = page[i]
		}
		found := read(some)
		for n, r := range found {
			replies[at[n]] = r
		}
		return found != nil
	}
	if len(overTracker) > 0 && !put(overTracker, func(some []Q) []R { return tracked(t, some) }) {
		others = append(others, overTracker...)
	}
	if len(others) > 0 {
		put(others, other)
	}
	return replies
}

// readTracked reads a page over a tracker; nil when that breaks.
func (r *eventReader) readTracked(t *conn.Tracker, page []keyRead) []keyReply {
	replies := make([]keyReply, len(page))
	take := func(i int, raw string) {
		replies[i] = page[i].reply(raw)
		replies[i].at = r.answers.Add(1)
	}
	if !t.AskAll(len(page), func(i int) resp.Command { return page[i].words() }, take) {
		return nil
	}
	return replies
}

// pipeline reads a page over any connection. Each reply has its own error.
func (er *eventReader) pipeline(ctx context.Context, page []keyRead) []keyReply {
	pipe := er.Commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(page))
	for i, r := range page {
		if r.from == newest {
			entries[i] = pipe.XRevRangeN(ctx, r.key, "+", "-", 1)
		} else {
			entries[i] = pipe.XRangeN(ctx, r.key, r.from, "+", int64(r.count))
		}
	}
	_, _ = pipe.Exec(ctx)
	replies := make([]keyReply, len(page))
	for i, r := range page {
		reply := &replies[i]
		for _, m := range entries[i].Val() {
			fields := job.TextFields(m.Values)
			for name, value := range fields {
				reply.bytes += len(name) + len(value)
			}
			reply.entries = append(reply.entries, resp.StreamEntry{Id: m.ID, Fields: fields})
		}
		reply.hasMore, reply.err = len(reply.entries) == r.count, conn.Translate("read events", entries[i].Err(), conn.Repeatable)
	}
	return replies
}

// addSnapshots adds the snapshots that a page wants. They don't go over the tracker: nobody
// wants to be told of what they look at. A job's last event, which may be large, is read only
// if its state does not say that it is over.
func (er *eventReader) addSnapshots(ctx context.Context, page []keyRead, replies []keyReply) {
	known, last := er.Commands.Pipeline(), er.Commands.Pipeline()
	exists, statuses := make([]*goredis.IntCmd, len(page)), make([]*goredis.StringCmd, len(page))
	for i, r := range page {
		if r.about != "" && replies[i].err == nil {
			exists[i] = known.Exists(ctx, er.Keys.State(r.about), er.Keys.Completion(r.about))
			statuses[i] = known.HGet(ctx, er.Keys.State(r.about), job.FieldStatus)
		}
	}
	_, _ = known.Exec(ctx) // each of its commands has its own error
	events := make([]*goredis.XMessageSliceCmd, len(page))
	for i := range page {
		if exists[i] == nil {
			continue
		}
		for _, err := range []error{exists[i].Err(), statuses[i].Err()} {
			if err != nil && !errors.Is(err, goredis.Nil) {
				replies[i].err = conn.Translate("read job", err, conn.Repeatable)
			}
		}
		s := &replies[i].snapshot
		s.Known, s.Status = exists[i].Val() > 0, job.Status(statuses[i].Val())
		if s.Known && !s.Status.Terminal() {
			events[i] = last.XRevRangeN(ctx, er.Keys.Completion(page[i].about), "+", "-", 1)
		}
	}
	_, _ = last.Exec(ctx)
	for i, e := range events {
		if e == nil {
			continue
		}
		if err := e.Err(); err != nil {
			replies[i].err = conn.Translate("read job", err, conn.Repeatable)
		}
		s := &replies[i].snapshot
		for _, m := range e.Val() {
			switch last := job.DecodeEvent(page[i].about, m.ID, job.TextFields(m.Values)); {
			case last.Status.Terminal():
				if result, err := er.results.Find(ctx, page[i].about); err == nil && result != nil {
					er.results.HealLater(page[i].about)
					s.Status = result.Status
				}
			case s.Status == "":
				s.Status = last.Status
			}
		}
	}
}

// follow reads anew what a tracker's node redirected. It is not rung for, so it is read
// again soon; a tracker of a node that lost the slot ends.
func (r *eventReader) follow(ctx context.Context, t *conn.Tracker, page []keyRead, replies []keyReply) {
	var again []keyRead
	var at []int
	for i := range replies {
		if conn.IsMoved(replies[i].err) {
			t.Fail(conn.ErrTrackerBroken)
		} else if !conn.IsAsk(replies[i].err) {
			continue
		}
		again, at = append(again, page[i]), append(at, i)
	}
	if len(again) == 0 {
		return
	}
	followed := r.pipeline(ctx, again)
	for n, i := range at {
		replies[i] = followed[n]
		key := page[i].key
		time.AfterFunc(conn.RetryPeriod, func() { r.watches.NotifyKey(key) })
	}
}
