package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// keyRead is one look at what a watch waits for.
type keyRead struct {
	key string
	// from is the entry to read from; newest for a stream's last entry.
	from string
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
	return words{"xrange", r.key, r.from, "+", "count", strconv.Itoa(watchPage + 1)}
}

// reply is what its command got.
func (r keyRead) reply(raw string) (found keyReply) {
	reply, err := parseReply(raw)
	if err == nil {
		found.entries, err = reply.entries(), reply.err
	}
	found.err = translate("read events", err, repeatable)
	found.hasMore = len(found.entries) > watchPage
	return found
}

// keyReply is what a keyRead found.
type keyReply struct {
	entries  []streamEntry
	hasMore  bool // there may be more entries
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

func (b *Broker) answer(ctx context.Context, page []readRequest) {
	b.reads.read.Add(int64(len(page)))
	b.reads.pipelines.Add(1)
	var replies []keyReply
	if t := b.tracker.Load(); t != nil {
		replies = b.readTracked(t, page)
		b.follow(ctx, t, page, replies)
	}
	if replies == nil {
		replies = b.pipeline(ctx, page)
	}
	b.addSnapshots(ctx, page, replies)
	for i, r := range page {
		r.reply <- numberedReply{replies[i], r.n}
	}
}

// readTracked reads a page over a tracker; nil when that breaks.
func (b *Broker) readTracked(t *tracker, page []readRequest) []keyReply {
	var out []byte
	replies, questions := make([]keyReply, len(page)), make([]question, len(page))
	var answers sync.WaitGroup
	var isBroken atomic.Bool
	for i, r := range page {
		out = appendCommand(out, r.words())
		questions[i] = func(raw string) {
			if raw == "" {
				isBroken.Store(true)
			} else {
				replies[i] = r.keyRead.reply(raw)
				replies[i].at = b.reads.answers.Add(1)
			}
			answers.Done()
		}
	}
	answers.Add(len(page))
	if !t.ask(out, questions) {
		return nil
	}
	answers.Wait()
	if isBroken.Load() {
		return nil
	}
	return replies
}

// pipeline reads a page over any connection. Each reply has its own error.
func (b *Broker) pipeline(ctx context.Context, page []readRequest) []keyReply {
	pipe := b.client.commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(page))
	for i, r := range page {
		if r.from == newest {
			entries[i] = pipe.XRevRangeN(ctx, r.key, "+", "-", 1)
		} else {
			entries[i] = pipe.XRangeN(ctx, r.key, r.from, "+", watchPage+1)
		}
	}
	_, _ = pipe.Exec(ctx)
	replies := make([]keyReply, len(page))
	for i := range page {
		reply := &replies[i]
		for _, m := range entries[i].Val() {
			reply.entries = append(reply.entries, streamEntry{m.ID, textFields(m.Values)})
		}
		reply.hasMore, reply.err = len(reply.entries) > watchPage, translate("read events", entries[i].Err(), repeatable)
	}
	return replies
}

// addSnapshots adds the snapshots that a page wants. They don't go over the tracker: nobody
// wants to be told of what they look at.
func (b *Broker) addSnapshots(ctx context.Context, page []readRequest, replies []keyReply) {
	pipe := b.client.commands.Pipeline()
	snapshots := make([]*snapshotRead, len(page))
	for i, r := range page {
		if r.about != "" && replies[i].err == nil {
			snapshots[i] = b.wantSnapshot(ctx, pipe, r.about)
		}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	for i, s := range snapshots {
		if s != nil {
			replies[i].snapshot, replies[i].err = s.result(page[i].about)
		}
	}
}

// snapshotRead is where a job is.
type snapshotRead struct {
	exists *goredis.IntCmd
	status *goredis.StringCmd
	last   *goredis.XMessageSliceCmd
}

func (b *Broker) wantSnapshot(ctx context.Context, pipe goredis.Pipeliner, jobID string) *snapshotRead {
	return &snapshotRead{
		exists: pipe.Exists(ctx, b.keys.state(jobID)),
		status: pipe.HGet(ctx, b.keys.state(jobID), fieldStatus),
		last:   pipe.XRevRangeN(ctx, b.keys.completion(jobID), "+", "-", 1),
	}
}

func (s *snapshotRead) result(jobID string) (Snapshot, error) {
	for _, err := range []error{s.exists.Err(), s.status.Err(), s.last.Err()} {
		if err != nil && !errors.Is(err, goredis.Nil) {
			return Snapshot{}, translate("read job", err, repeatable)
		}
	}
	snapshot := Snapshot{Known: s.exists.Val() > 0 || len(s.last.Val()) > 0, Status: Status(s.status.Val())}
	if last := s.last.Val(); snapshot.Status == "" && len(last) > 0 {
		snapshot.Status = decodeEvent(jobID, last[0].ID, textFields(last[0].Values)).Status
	}
	return snapshot, nil
}
