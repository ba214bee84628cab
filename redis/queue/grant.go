package queue

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Grant is a read of new entries by plain commands: a reader sends them itself, or a publisher sends
// them behind its own command, for a read that waits.
type Grant struct {
	request ReadRequest
	config  job.QueueSettings
	want    int // how many entries it asks for

	// added is the entry that was published in the same round trip, before the read: a read that got it
	// has got all entries.
	added             string
	read              *goredis.RawCmd
	paused, cancelled *goredis.IntCmd
	now               *goredis.TimeCmd
	err               error // of sending the commands
}

// plainLeast is how many entries a grant must be able to ask for, so that all fit into a response
// whatever their size; else the script, which looks at the sizes, reads.
const plainLeast = 4

// newGrant prepares a read of new entries by plain commands; nil if only the script can read. The
// commands must be sent together, and their results go to collect.
//
// The commands ask for the queue's pause and the cancelled jobs after the entries were leased, so they
// see what was set before the lease.
func (rd *Reader) newGrant(ctx context.Context, r ReadRequest) *Grant {
	g := &Grant{request: r, config: rd.QueueSettings(r.Queue), want: min(r.Max, rd.registry.sizes.room(r.Queue, rd.deliveryOverhead(r)))}
	if g.config.FairBy != "" || g.want < min(r.Max, plainLeast) {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	g.read = conn.Raw(ctx, resp.Command{"xreadgroup", "group", r.Group, r.Consumer, "count", strconv.Itoa(g.want), "streams", rd.Keys.Tasks(r.Queue), ">"})
	g.paused = goredis.NewIntCmd(ctx, "exists", rd.Keys.Paused(r.Queue))
	g.cancelled = goredis.NewIntCmd(ctx, "exists", rd.Keys.Tenant().CancelledJobs())
	g.now = goredis.NewTimeCmd(ctx, "time")
	return g
}

func (g *Grant) commands() []goredis.Cmder {
	return []goredis.Cmder{g.read, g.paused, g.cancelled, g.now}
}

// reply is the reply to the read; ok is false if Redis refused the read, and nothing was leased.
func (g *Grant) reply() (reply *resp.Reply, ok bool, err error) {
	if g.err != nil {
		return nil, false, conn.Translate("read", g.err, conn.Repeatable)
	}
	reply, err = conn.RawReply(g.read)
	var refused goredis.Error
	if errors.As(err, &refused) {
		return nil, false, nil
	}
	err = cmp.Or(err, g.paused.Err(), g.cancelled.Err(), g.now.Err())
	return reply, true, conn.Translate("read", err, conn.Repeatable)
}

// collect returns what a grant has leased. ok is false if nothing was leased and the script should
// read: it creates a missing group, or says what is wrong. The entries of a queue that was paused are
// released.
func (rd *Reader) collect(ctx context.Context, g *Grant) (batch leasedBatch, ok bool, err error) {
	ctx = context.WithoutCancel(ctx)
	r := g.request
	reply, ok, err := g.reply()
	if !ok || err != nil {
		return batch, false, err
	}
	if batch, err = rd.readEntries(g, reply); err != nil {
		return batch, false, err
	}
	if g.paused.Val() > 0 {
		rd.registry.sizes.setPaused(r.Queue, true)
		rd.settler.Release(ctx, batch.deliveries)
		return leasedBatch{undeliverable: batch.undeliverable}, true, nil
	}
	if g.cancelled.Val() > 0 {
		if err := rd.dropCancelled(ctx, &batch); err != nil {
			rd.settler.Release(ctx, batch.deliveries)
			return batch, false, err
		}
	}
	rd.registry.Known.noteHealth(rd.Log, r.Queue, r.Group, "")
	rd.registry.Note(ctx, r.Queue)
	return batch, true, nil
}

// readEntries reads the entries of an XREADGROUP reply, as many as fit into a response, and releases
// the others.
func (rd *Reader) readEntries(g *Grant, reply *resp.Reply) (batch leasedBatch, err error) {
	if reply.List() < 1 {
		return batch, reply.Err
	}
	reply.List() // of the one stream
	reply.Word()
	r, entries := g.request, reply.List()
	batch.deliveries = make([]Delivery, 0, max(0, entries))
	room, overhead, last := batchBytes, rd.deliveryOverhead(r), ""
	var excess []job.Lease
	for i := range entries {
		reply.List()
		lease := job.Lease{Prefix: rd.Keys.Prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer, Count: 1, EntryID: reply.Word()}
		fields := reply.Words()
		if reply.Err != nil {
			return batch, reply.Err
		}
		last = lease.EntryID
		size := job.EntrySize(fields)
		rd.registry.sizes.note(r.Queue, size)
		if room -= overhead + size; room < 0 && i > 0 {
			excess = append(excess, lease)
			continue
		}
		batch.add(leasedEntry{lease: lease, fields: fields}, g.config)
	}
	batch.setExpiry(g.now.Val().Add(g.config.Lease))
	batch.isFull = batch.size() == g.want && last != g.added
	if len(excess) > 0 {
		rd.settler.tryRelease(context.Background(), excess)
	}
	return batch, nil
}

// dropCancelled makes those tasks of a batch undeliverable whose jobs were cancelled after they were
// published. Tasks for another group are marked too, in case that group no longer exists.
func (rd *Reader) dropCancelled(ctx context.Context, batch *leasedBatch) error {
	jobs := batch.jobs()
	if len(jobs) == 0 {
		return nil
	}
	scores, err := rd.Commands.ZMScore(ctx, rd.Keys.Tenant().CancelledJobs(), jobs...).Result()
	if err != nil {
		return conn.Translate("read", err, conn.Repeatable)
	}
	cancelledAt := make(map[string]time.Time, len(jobs))
	for i, jobID := range jobs {
		if scores[i] > 0 {
			cancelledAt[jobID] = time.UnixMilli(int64(scores[i]))
		}
	}
	batch.cancel(cancelledAt)
	return nil
}
