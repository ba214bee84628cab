package redis

import (
	"context"
	"errors"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// keyRead is one look at what a watch waits for.
type keyRead struct {
	key string
	// from is the entry to read from; "" for a state, newest for a stream's last entry.
	from string
	// about, if not "", is a job of which a snapshot is wanted too.
	about string
}

// newest, as the entry to read from, means only the last one.
const newest = "newest"

// keyReply is what a keyRead found.
type keyReply struct {
	entries  []goredis.XMessage
	fields   map[string]string
	snapshot Snapshot
	err      error
}

// readQueue makes one pipeline of what many want to read at once. The reads go over the
// tracker's connection while there is one: there each also asks for the next ring. Only
// serveReads uses that connection.
type readQueue struct {
	requests        chan readRequest
	read, pipelines atomic.Int64 // how many there were
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
		var err error
		t.mu.Lock()
		replies, err = b.pipeline(ctx, t.reader, page)
		t.mu.Unlock()
		if err != nil {
			t.fail()
			replies = nil
		}
		b.follow(ctx, t, page, replies)
	}
	if replies == nil {
		replies, _ = b.pipeline(ctx, b.client.commands, page)
	}
	for i, r := range page {
		r.reply <- numberedReply{replies[i], r.n}
	}
}

// pipeline reads a page. Its error is that of the connection; each reply has its own.
func (b *Broker) pipeline(ctx context.Context, from interface{ Pipeline() goredis.Pipeliner }, page []readRequest) ([]keyReply, error) {
	pipe, extra := from.Pipeline(), b.client.commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(page))
	fields := make([]*goredis.MapStringStringCmd, len(page))
	snapshots := make([]*snapshotRead, len(page))
	for i, r := range page {
		switch r.from {
		case "":
			fields[i] = pipe.HGetAll(ctx, r.key)
		case newest:
			entries[i] = pipe.XRevRangeN(ctx, r.key, "+", "-", 1)
		default:
			entries[i] = pipe.XRangeN(ctx, r.key, r.from, "+", watchPage+1)
		}
		if r.about != "" {
			snapshots[i] = b.wantSnapshot(ctx, extra, r.about)
		}
	}
	_, err := pipe.Exec(ctx)
	_, _ = extra.Exec(ctx) // each of its commands has its own error
	replies := make([]keyReply, len(page))
	for i, r := range page {
		reply := &replies[i]
		if r.from == "" {
			reply.fields, reply.err = fields[i].Val(), translate("read state", fields[i].Err(), repeatable)
		} else {
			reply.entries, reply.err = entries[i].Val(), translate("read events", entries[i].Err(), repeatable)
		}
		if snapshots[i] != nil && reply.err == nil {
			reply.snapshot, reply.err = snapshots[i].result(r.about)
		}
	}
	return replies, broken(err)
}

// broken is err if it is of the connection, and not Redis's answer to one command.
func broken(err error) error {
	var reply goredis.Error
	if err == nil || errors.As(err, &reply) {
		return nil
	}
	return err
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
