package redis

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

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
func (r keyRead) words() words {
	if r.from == newest {
		return words{"xrevrange", r.key, "+", "-", "count", "1"}
	}
	return words{"xrange", r.key, r.from, "+", "count", strconv.Itoa(r.count)}
}

// reply is what its command got.
func (r keyRead) reply(raw string) (found keyReply) {
	reply, err := parseReply(raw)
	if err == nil {
		found.entries, err = reply.entries(), reply.err
	}
	found.err = translate("read events", err, repeatable)
	found.hasMore, found.bytes = len(found.entries) == r.count, len(raw)
	return found
}

// keyReply is what a keyRead found.
type keyReply struct {
	entries  []streamEntry
	hasMore  bool // there may be more entries
	bytes    int  // of the entries
	snapshot Snapshot
	err      error
	// at counts what trackers were answered: of two replies the later one has the higher; 0 if
	// it is not known.
	at int64
}

// readQueue makes one pipeline of what many want to read at once. The reads go over the
// tracker's connection while there is one: there each also asks for the next ring.
type readQueue struct {
	requests        chan readRequest
	read, pipelines atomic.Int64 // how many there were
	answers         atomic.Int64 // how many trackers got
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

func newReadQueue() *readQueue { return &readQueue{requests: make(chan readRequest, readPage)} }

// readKeys reads keys, each with its own error. It fails as a whole when ctx ends.
func (b *Broker) readKeys(ctx context.Context, reads []keyRead) ([]keyReply, error) {
	replies, all := make(chan numberedReply, len(reads)), make([]keyReply, len(reads))
	sent, received := 0, 0
	for received < len(reads) {
		var requests chan<- readRequest
		var next readRequest
		if sent < len(reads) {
			requests, next = b.reads.requests, readRequest{reads[sent], replies, sent}
		}
		select {
		case requests <- next:
			sent++
		case r := <-replies:
			all[r.n] = r.keyReply
			received++
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-b.closed:
			return nil, ErrUnavailable
		}
	}
	return all, nil
}

// serveReads answers readKeys until ctx ends.
func (b *Broker) serveReads(ctx context.Context) {
	for {
		var page []readRequest
		select {
		case r := <-b.reads.requests:
			page = append(page, r)
		case <-ctx.Done():
			return
		}
	more:
		for len(page) < readPage {
			select {
			case r := <-b.reads.requests:
				page = append(page, r)
			default:
				break more
			}
		}
		b.answer(ctx, page)
	}
}

// answer reads a page. What several want is read once, and they share the reply.
func (b *Broker) answer(ctx context.Context, requests []readRequest) {
	page := make([]keyRead, 0, len(requests))
	places := make(map[keyRead]int, len(requests))
	for _, r := range requests {
		if _, ok := places[r.keyRead]; !ok {
			places[r.keyRead] = len(page)
			page = append(page, r.keyRead)
		}
	}
	b.reads.read.Add(int64(len(page)))
	b.reads.pipelines.Add(1)
	replies := b.readPage(ctx, page)
	b.addSnapshots(ctx, page, replies)
	for _, r := range requests {
		r.reply <- numberedReply{replies[places[r.keyRead]], r.n}
	}
}

// readPage reads a page, over the tracker where that can be.
func (b *Broker) readPage(ctx context.Context, page []keyRead) []keyReply {
	return readDivided(b, page, func(r keyRead) string { return r.key },
		func(t *tracker, some []keyRead) []keyReply {
			found := b.readTracked(t, some)
			b.follow(ctx, t, some, found)
			return found
		},
		func(some []keyRead) []keyReply { return b.pipeline(ctx, some) })
}

// readDivided reads keys: over the tracker, while there is one, those that are not polled, and
// the others over any connection. Tracked returns nil when the tracker breaks, and its keys are
// then read like the others.
func readDivided[Q, R any](b *Broker, page []Q, key func(Q) string, tracked func(*tracker, []Q) []R, other func([]Q) []R) []R {
	replies := make([]R, len(page))
	t := b.tracker.Load()
	overTracker, others := b.subscriptions.Divide(t != nil, len(page), func(i int) string { return key(page[i]) })
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
func (b *Broker) readTracked(t *tracker, page []keyRead) []keyReply {
	replies := make([]keyReply, len(page))
	take := func(i int, raw string) {
		replies[i] = page[i].reply(raw)
		replies[i].at = b.reads.answers.Add(1)
	}
	if !t.askAll(len(page), func(i int) words { return page[i].words() }, take) {
		return nil
	}
	return replies
}

// pipeline reads a page over any connection. Each reply has its own error.
func (b *Broker) pipeline(ctx context.Context, page []keyRead) []keyReply {
	pipe := b.client.commands.Pipeline()
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
			fields := textFields(m.Values)
			for name, value := range fields {
				reply.bytes += len(name) + len(value)
			}
			reply.entries = append(reply.entries, streamEntry{m.ID, fields})
		}
		reply.hasMore, reply.err = len(reply.entries) == r.count, translate("read events", entries[i].Err(), repeatable)
	}
	return replies
}

// addSnapshots adds the snapshots that a page wants. They don't go over the tracker: nobody
// wants to be told of what they look at. A job's last event, which may be large, is read only
// if its state does not say that it is over.
func (b *Broker) addSnapshots(ctx context.Context, page []keyRead, replies []keyReply) {
	known, last := b.client.commands.Pipeline(), b.client.commands.Pipeline()
	exists, statuses := make([]*goredis.IntCmd, len(page)), make([]*goredis.StringCmd, len(page))
	for i, r := range page {
		if r.about != "" && replies[i].err == nil {
			exists[i] = known.Exists(ctx, b.keys.state(r.about), b.keys.completion(r.about))
			statuses[i] = known.HGet(ctx, b.keys.state(r.about), fieldStatus)
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
				replies[i].err = translate("read job", err, repeatable)
			}
		}
		s := &replies[i].snapshot
		s.Known, s.Status = exists[i].Val() > 0, Status(statuses[i].Val())
		if s.Known && !s.Status.Terminal() {
			events[i] = last.XRevRangeN(ctx, b.keys.completion(page[i].about), "+", "-", 1)
		}
	}
	_, _ = last.Exec(ctx)
	for i, e := range events {
		if e == nil {
			continue
		}
		if err := e.Err(); err != nil {
			replies[i].err = translate("read job", err, repeatable)
		}
		s := &replies[i].snapshot
		for _, m := range e.Val() {
			switch last := decodeEvent(page[i].about, m.ID, textFields(m.Values)); {
			case last.Status.Terminal():
				if result, err := b.result(ctx, page[i].about); err == nil && result != nil {
					b.toHeal(page[i].about)
					s.Status = result.Status
				}
			case s.Status == "":
				s.Status = last.Status
			}
		}
	}
}
