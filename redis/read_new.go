package redis

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	goredis "github.com/redis/go-redis/v9"
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
func (b *Broker) leaseNew(ctx context.Context, r ReadRequest) (p batch, ok bool, err error) {
	l := b.newLease(ctx, r)
	if l == nil {
		return p, false, nil
	}
	l.err = b.client.pipeliner.do(context.WithoutCancel(ctx), l.commands()...)
	return b.leased(ctx, l)
}

// newLease is a lease of new entries on its way.
type newLease struct {
	r      ReadRequest
	config QueueConfig
	want   int

	// added is the entry that someone published in the same round trip, before the read: with
	// it the reader has all there was.
	added             string
	read              *goredis.RawCmd
	paused, cancelled *goredis.IntCmd
	now               *goredis.TimeCmd
	err               error // of sending them
}

// newLease prepares to lease new entries without the script; nil when it can't know enough.
// The commands must be sent together, and what they got goes to leased.
func (b *Broker) newLease(ctx context.Context, r ReadRequest) *newLease {
	l := &newLease{r: r, config: b.queueConfig(r.Queue), want: min(r.Max, b.lines.room(r.Queue, b.deliveryOverhead(r)))}
	if b.client.pipeliner == nil || l.config.FairBy != "" || l.want < min(r.Max, plainLeast) {
		return nil
	}
	ctx = context.WithoutCancel(ctx)
	l.read = command(ctx, words{"xreadgroup", "group", r.Group, r.Consumer, "count", strconv.Itoa(l.want), "streams", b.keys.tasks(r.Queue), ">"})
	l.paused = goredis.NewIntCmd(ctx, "exists", b.keys.paused(r.Queue))
	l.cancelled = goredis.NewIntCmd(ctx, "exists", b.keys.cancelledJobs())
	l.now = goredis.NewTimeCmd(ctx, "time")
	return l
}

func (l *newLease) commands() []goredis.Cmder {
	return []goredis.Cmder{l.read, l.paused, l.cancelled, l.now}
}

// leased is what the commands of a newLease leased; false when nothing was, and the script
// should try.
func (b *Broker) leased(ctx context.Context, l *newLease) (p batch, ok bool, err error) {
	ctx = context.WithoutCancel(ctx)
	r := l.r
	if l.err != nil {
		return p, false, translate("read", l.err, repeatable)
	}
	reply, err := rawReply(l.read)
	var refused goredis.Error
	if errors.As(err, &refused) {
		return p, false, nil // the script makes the group, or says what is wrong
	}
	if err != nil {
		return p, false, translate("read", err, repeatable)
	}
	if err := errors.Join(l.paused.Err(), l.cancelled.Err(), l.now.Err()); err != nil {
		return p, false, translate("read", err, repeatable)
	}
	if p, err = b.newEntries(r, l.config, reply, l.now.Val()); err != nil {
		return p, false, err
	}
	p.isFull = len(p.deliveries)+len(p.unwanted) == l.want && p.last != l.added
	if l.paused.Val() > 0 {
		b.lines.isPaused(r.Queue, true)
		b.release(ctx, p.deliveries)
		return batch{unwanted: p.unwanted}, true, nil
	}
	if l.cancelled.Val() > 0 {
		if err := b.dropCancelled(ctx, &p); err != nil {
			b.release(ctx, p.deliveries)
			return p, false, err
		}
	}
	b.known.line(b.log, r.Queue, r.Group, "")
	b.noteQueue(ctx, r.Queue)
	return p, true, nil
}

// newEntries are the entries of XREADGROUP's reply, as many as fit into an answer. The
// others are given back.
func (b *Broker) newEntries(r ReadRequest, config QueueConfig, reply *reply, now time.Time) (p batch, err error) {
	if reply.list() < 1 {
		return p, reply.err
	}
	reply.list() // of the one stream
	reply.word()
	entries := reply.list()
	p.deliveries = make([]Delivery, 0, max(0, entries))
	room, overhead := batchBytes, b.deliveryOverhead(r)
	var excess []Lease
	for i := range entries {
		reply.list()
		lease := Lease{Prefix: b.keys.prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer, Count: 1, EntryID: reply.word()}
		list := reply.words()
		if reply.err != nil {
			return p, reply.err
		}
		p.last = lease.EntryID
		size := entrySize(list)
		b.lines.size(r.Queue, size)
		if room -= overhead + size; room < 0 && i > 0 {
			excess = append(excess, lease)
			continue
		}
		p.addEntry(lease, list, false, 0, config)
	}
	p.expireAt(now.Add(config.Lease))
	if len(excess) > 0 {
		if err := b.giveUp(context.Background(), excess...); err != nil {
			b.log.Warn("could not give entries back; they wait until their lease runs out", "queue", r.Queue, "error", err)
		}
	}
	return p, nil
}

// dropCancelled takes tasks out of a batch whose jobs were cancelled after they were
// published. Of those that are for another group it is noted, in case that group is no more.
func (b *Broker) dropCancelled(ctx context.Context, p *batch) error {
	var jobs []string
	for _, d := range p.deliveries {
		jobs = append(jobs, d.Lease.JobID)
	}
	var others []*unwanted
	for i := range p.unwanted {
		if u := &p.unwanted[i]; u.forGroup != "" {
			others, jobs = append(others, u), append(jobs, u.lease.JobID)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	scores, err := b.client.commands.ZMScore(ctx, b.keys.cancelledJobs(), jobs...).Result()
	if err != nil {
		return translate("read", err, repeatable)
	}
	isCancelled := func(i int, d Delivery) bool {
		at := int64(scores[i])
		return at > 0 && at >= d.PublishedAt.UnixMilli()
	}
	for i, u := range others {
		if isCancelled(len(p.deliveries)+i, u.delivery) {
			u.giveBack = giveBack{action: "cancelled"}
		}
	}
	wanted := p.deliveries[:0]
	for i, d := range p.deliveries {
		if isCancelled(i, d) {
			p.unwanted = append(p.unwanted, unwanted{lease: d.Lease, giveBack: giveBack{action: "cancelled"}})
			continue
		}
		wanted = append(wanted, d)
	}
	p.deliveries = wanted
	return nil
}

// lines remembers of each queue how large its entries are, and whether it is paused. Its
// zero value is ready.
type lines struct {
	mu     sync.Mutex
	queues map[string]*lineSeen
}

type lineSeen struct {
	largest float64 // bytes, lately
	paused  bool
}

func (l *lines) of(queue string) *lineSeen {
	if l.queues == nil || len(l.queues) >= 10000 {
		l.queues = make(map[string]*lineSeen)
	}
	if l.queues[queue] == nil {
		l.queues[queue] = &lineSeen{}
	}
	return l.queues[queue]
}

// size notes how large an entry was. One that was large counts for a while.
func (l *lines) size(queue string, bytes int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.of(queue)
	seen.largest = max(float64(bytes), seen.largest*0.99)
}

// saw notes how large an entry was that the read script gave.
func (l *lines) saw(queue string, row any) {
	if cells, ok := row.([]any); ok && len(cells) > 2 {
		if list, err := stringList(cells[2]); err == nil {
			l.size(queue, entrySize(list))
		}
	}
}

// isPaused notes whether a queue is paused: then the script reads, which leases nothing.
func (l *lines) isPaused(queue string, paused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(queue).paused = paused
}

// room is how many entries can be asked for so that all of them should fit into an answer.
func (l *lines) room(queue string, overhead int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	seen := l.of(queue)
	if seen.paused || seen.largest == 0 {
		return 0
	}
	return min(plainMax, batchBytes/(overhead+2*int(seen.largest)))
}
