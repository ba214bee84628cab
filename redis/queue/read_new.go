package queue

import (
	"context"
	"errors"
	"strconv"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Most reads find new entries, and nothing that the read script would have to do about
// them. For these, four plain commands cost Redis a third of the script.
const (
	// plainMax is how many entries one such read asks for.
	plainMax = 64
	// plainLeast is how many it must be able to ask for, so that they fit into an answer
	// whatever size they have; else the script, which looks at the sizes, reads.
	plainLeast = 4
)

// leaseNew leases new entries without the script; false when it can't know enough, and
// nothing was leased.
//
// The queue's pause and the cancelled jobs are looked at after the entries were leased: then
// what came before the lease is seen. Of a queue that was paused the entries are given back.
func (rd *Reader) leaseNew(ctx context.Context, r ReadRequest) (p leasedBatch, ok bool, err error) {
	l := rd.newGrant(ctx, r)
	if l == nil {
		return p, false, nil
	}
	l.err = rd.Batcher.Do(context.WithoutCancel(ctx), l.commands()...)
	return rd.leased(ctx, l)
}

// Grant is a lease of new entries on its way.
type Grant struct {
	r      ReadRequest
	config job.QueueSettings
	want   int

	// added is the entry that someone published in the same round trip, before the read: with
	// it the reader has all there was.
	added             string
	read              *goredis.RawCmd
	paused, cancelled *goredis.IntCmd
	now               *goredis.TimeCmd
	err               error // of sending them
}

// newGrant prepares to lease new entries without the script; nil when it can't know enough.
// The commands must be sent together, and what they got goes to leased.
func (rd *Reader) newGrant(ctx context.Context, r ReadRequest) *Grant {
	l := &Grant{r: r, config: rd.QueueSettings(r.Queue), want: min(r.Max, rd.registry.sizes.room(r.Queue, rd.deliveryOverhead(r)))}
	if l.config.FairBy != "" || l.want < min(r.Max, plainLeast) {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	l.read = conn.Raw(ctx, resp.Command{"xreadgroup", "group", r.Group, r.Consumer, "count", strconv.Itoa(l.want), "streams", rd.Keys.Tasks(r.Queue), ">"})
	l.paused = goredis.NewIntCmd(ctx, "exists", rd.Keys.Paused(r.Queue))
	l.cancelled = goredis.NewIntCmd(ctx, "exists", rd.Keys.CancelledJobs())
	l.now = goredis.NewTimeCmd(ctx, "time")
	return l
}

func (l *Grant) commands() []goredis.Cmder {
	return []goredis.Cmder{l.read, l.paused, l.cancelled, l.now}
}

// leased is what the commands of a newLease leased; false when nothing was, and the script
// should try.
func (rd *Reader) leased(ctx context.Context, l *Grant) (p leasedBatch, ok bool, err error) {
	ctx = context.WithoutCancel(ctx)
	r := l.r
	if l.err != nil {
		return p, false, conn.Translate("read", l.err, conn.Repeatable)
	}
	reply, err := conn.RawReply(l.read)
	var refused goredis.Error
	if errors.As(err, &refused) {
		return p, false, nil // the script makes the group, or says what is wrong
	}
	if err != nil {
		return p, false, conn.Translate("read", err, conn.Repeatable)
	}
	if err := errors.Join(l.paused.Err(), l.cancelled.Err(), l.now.Err()); err != nil {
		return p, false, conn.Translate("read", err, conn.Repeatable)
	}
	if p, err = rd.newEntries(r, l.config, reply, l.now.Val()); err != nil {
		return p, false, err
	}
	p.isFull = len(p.deliveries)+len(p.unwanted) == l.want && p.last != l.added
	if l.paused.Val() > 0 {
		rd.registry.sizes.setPaused(r.Queue, true)
		rd.settler.release(ctx, p.deliveries)
		return leasedBatch{unwanted: p.unwanted}, true, nil
	}
	if l.cancelled.Val() > 0 {
		if err := rd.dropCancelled(ctx, &p); err != nil {
			rd.settler.release(ctx, p.deliveries)
			return p, false, err
		}
	}
	rd.registry.Known.noteHealth(rd.Log, r.Queue, r.Group, "")
	rd.registry.Note(ctx, r.Queue)
	return p, true, nil
}

// newEntries are the entries of XREADGROUP's reply, as many as fit into an answer. The
// others are given back.
func (rd *Reader) newEntries(r ReadRequest, config job.QueueSettings, reply *resp.Reply, now time.Time) (p leasedBatch, err error) {
	if reply.List() < 1 {
		return p, reply.Err
	}
	reply.List() // of the one stream
	reply.Word()
	entries := reply.List()
	p.deliveries = make([]Delivery, 0, max(0, entries))
	room, overhead := batchBytes, rd.deliveryOverhead(r)
	var excess []job.Lease
	for i := range entries {
		reply.List()
		lease := job.Lease{Prefix: rd.Keys.Prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer, Count: 1, EntryID: reply.Word()}
		list := reply.Words()
		if reply.Err != nil {
			return p, reply.Err
		}
		p.last = lease.EntryID
		size := job.EntrySize(list)
		rd.registry.sizes.note(r.Queue, size)
		if room -= overhead + size; room < 0 && i > 0 {
			excess = append(excess, lease)
			continue
		}
		p.addEntry(lease, list, false, 0, config)
	}
	p.expireAt(now.Add(config.Lease))
	if len(excess) > 0 {
		if err := rd.settler.releaseLeases(context.Background(), excess...); err != nil {
			rd.Log.Warn("could not give entries back; they wait until their lease runs out", "queue", r.Queue, "error", err)
		}
	}
	return p, nil
}

// dropCancelled takes tasks out of a batch whose jobs were cancelled after they were
// published. Of those that are for another group it is noted, in case that group is no more.
func (r *Reader) dropCancelled(ctx context.Context, p *leasedBatch) error {
	var jobs []string
	for _, d := range p.deliveries {
		jobs = append(jobs, d.Lease.JobID)
	}
	var others []*undeliverable
	for i := range p.unwanted {
		if u := &p.unwanted[i]; u.forGroup != "" {
			others, jobs = append(others, u), append(jobs, u.lease.JobID)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	scores, err := r.Commands.ZMScore(ctx, r.Keys.CancelledJobs(), jobs...).Result()
	if err != nil {
		return conn.Translate("read", err, conn.Repeatable)
	}
	isCancelled := func(i int, d Delivery) bool {
		at := int64(scores[i])
		return at > 0 && at >= d.PublishedAt.UnixMilli()
	}
	for i, u := range others {
		if isCancelled(len(p.deliveries)+i, u.delivery) {
			u.requeueRequest = requeueRequest{action: "cancelled"}
		}
	}
	wanted := p.deliveries[:0]
	for i, d := range p.deliveries {
		if isCancelled(i, d) {
			p.unwanted = append(p.unwanted, undeliverable{lease: d.Lease, requeueRequest: requeueRequest{action: "cancelled"}})
			continue
		}
		wanted = append(wanted, d)
	}
	p.deliveries = wanted
	return nil
}

func (l *entrySizes) of(queue string) *sizeSeen {
	if l.queues == nil || len(l.queues) >= 10000 {
		l.queues = make(map[string]*sizeSeen)
	}
	if l.queues[queue] == nil {
		l.queues[queue] = &sizeSeen{}
	}
	return l.queues[queue]
}

// note notes how large an entry was. One that was large counts for a while.
func (l *entrySizes) note(queue string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.of(queue)
	seen.largest = max(float64(bytes), seen.largest*0.99)
}

// noteRow notes how large an entry was that the read script gave.
func (l *entrySizes) noteRow(queue string, row any) {
	if cells, ok := row.([]any); ok && len(cells) > 2 {
		if list, err := resp.StringList(cells[2]); err == nil {
			l.note(queue, job.EntrySize(list))
		}
	}
}

// SetPaused notes whether a queue is paused: then the script reads, which leases nothing.
func (l *entrySizes) setPaused(queue string, paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(queue).paused = paused
}

// room is how many entries can be asked for so that all of them should fit into an answer.
func (l *entrySizes) room(queue string, overhead int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.of(queue)
	if seen.paused || seen.largest == 0 {
		return 0
	}
	return min(plainMax, batchBytes/(overhead+2*int(seen.largest)))
}
