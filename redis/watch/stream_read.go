package watch

import (
	"context"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// streamRead is one read of a watched stream.
type streamRead struct {
	key string
	// from is the entry to read from, itself included; newest for the last entry only.
	from string
	// count bounds the entries.
	count int
	// snapshotOf, if not "", is a job of which a snapshot is wanted too.
	snapshotOf string
}

// newest, as the entry to read from, means the last one only.
const newest = "newest"

// lastEntry reads the last entry of a task stream.
func lastEntry(key string) streamRead { return streamRead{key: key, from: newest, count: 1} }

// streamReply is what a streamRead found.
type streamReply struct {
	entries  []resp.StreamEntry
	hasMore  bool // there may be more entries
	bytes    int  // of the entries
	snapshot Snapshot
	err      error
	// seq orders the replies of tracking connections, see update; 0 for others.
	seq int64
}

func (r streamRead) watchedKey() string { return r.key }

func (r streamReply) failure() error { return r.err }

// command is the read as it is sent over the tracking connection.
func (r streamRead) command() resp.Command {
	if r.from == newest {
		return resp.Command{"xrevrange", r.key, "+", "-", "count", "1"}
	}
	return resp.Command{"xrange", r.key, r.from, "+", "count", strconv.Itoa(r.count)}
}

// parse decodes the reply to command.
func (r streamRead) parse(raw string) (found streamReply) {
	reply, err := resp.Parse(raw)
	if err == nil {
		found.entries, err = reply.Entries(), reply.Err
	}
	found.err = conn.Translate("read events", err, conn.Repeatable)
	found.hasMore, found.bytes = len(found.entries) == r.count, len(raw)
	return found
}

// hasNothingNew reports whether a reply has no entry after the one that was read from. Job events are
// read from the cursor's own entry on.
func (r streamRead) hasNothingNew(raw string) bool {
	if r.from == job.FirstCursor {
		return strings.HasPrefix(raw, "*0\r\n")
	}
	return strings.HasPrefix(raw, "*1\r\n")
}

// trackStreams reads a page over a tracking connection; nil when that breaks.
func trackStreams(active *activeConn, c trackingConn, page []streamRead) []streamReply {
	replies := make([]streamReply, len(page))
	take := func(i int, raw string) {
		replies[i] = page[i].parse(raw)
		replies[i].seq = active.nextSeq()
	}
	if !c.AskAll(len(page), func(i int) resp.Command { return page[i].command() }, take) {
		return nil
	}
	return replies
}

// pooledStreams reads a page over the connection pool, in one pipeline.
func pooledStreams(ctx context.Context, commands goredis.UniversalClient, page []streamRead) []streamReply {
	pipe := commands.Pipeline()
	entries := make([]*goredis.XMessageSliceCmd, len(page))
	for i, r := range page {
		if r.from == newest {
			entries[i] = pipe.XRevRangeN(ctx, r.key, "+", "-", 1)
		} else {
			entries[i] = pipe.XRangeN(ctx, r.key, r.from, "+", int64(r.count))
		}
	}
	_, _ = pipe.Exec(ctx) // each of its commands has its own error
	replies := make([]streamReply, len(page))
	for i, r := range page {
		reply := &replies[i]
		for _, m := range entries[i].Val() {
			fields := job.TextFields(m.Values)
			for name, value := range fields {
				reply.bytes += len(name) + len(value)
			}
			reply.entries = append(reply.entries, resp.StreamEntry{ID: m.ID, Fields: fields})
		}
		reply.hasMore, reply.err = len(reply.entries) == r.count, conn.Translate("read events", entries[i].Err(), conn.Repeatable)
	}
	return replies
}
