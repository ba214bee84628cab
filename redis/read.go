package redis

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
)

// ReadRequest asks for work.
type ReadRequest struct {
	Queue    string // "" for the default queue
	Group    string // "" for the default group
	Consumer string
	Max      int // 1 to MaxBatch
	// Wait is how long to wait for work; 0 means not at all.
	Wait time.Duration
	// OwnPending asks for what the consumer holds already, instead of new work.
	OwnPending bool
}

// Delivery is a task under a lease.
type Delivery struct {
	Lease       Lease
	Attempt     int // 1 at the first delivery of the task
	Failures    int // how often a worker gave the task back
	ExpiresAt   time.Time
	PublishedAt time.Time
	Task        Task
}

// Read leases tasks to a consumer: first those whose lease ran out, oldest first, then
// new ones. It returns none when there are none until Wait is over. When the context
// ends, what was leased meanwhile is given back at once, and the context's error is
// returned.
func (b *Broker) Read(ctx context.Context, r ReadRequest) ([]Delivery, error) {
	r, err := b.normalize(r)
	if err != nil {
		return nil, err
	}
	if r.OwnPending || r.Wait <= 0 {
		return b.take(ctx, r, nil)
	}
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	signal := notify.NewSignal()
	place := b.waiters.Enqueue(b.keys.tasks(r.Queue), r.Group, signal)
	defer b.leave(ctx, place)
	for {
		place.Consume()
		deliveries, err := b.take(ctx, r, place.Take())
		if err != nil {
			return nil, err
		}
		if len(deliveries) > 0 {
			return deliveries, nil
		}
		place.Accept(&r)
		select {
		case <-signal.C:
		case <-timer.C:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (b *Broker) normalize(r ReadRequest) (ReadRequest, error) {
	var err error
	if r.Queue, err = b.queueName(r.Queue); err != nil {
		return r, err
	}
	if r.Group == "" {
		r.Group = b.config.DefaultGroup
	}
	if r.Max == 0 {
		r.Max = 1
	}
	if r.Max < 1 || r.Max > MaxBatch {
		return r, invalid("max_tasks", "is %d, want 1 to %d", r.Max, MaxBatch)
	}
	return r, errors.Join(CheckID("group", r.Group), CheckConsumer("consumer", r.Consumer))
}

// leave gives up a place. What was read for it meanwhile is given back.
func (b *Broker) leave(ctx context.Context, place *waiter) {
	place.Leave()
	if given := place.Take(); given != nil {
		b.refuse(ctx, given)
	}
}

// refuse gives back what was leased for someone who left.
func (b *Broker) refuse(ctx context.Context, l *newLease) {
	if p, _, err := b.leased(ctx, l); err == nil {
		b.release(ctx, p.deliveries)
		b.turnAway(ctx, p.unwanted)
	}
}

// take leases what there is, beginning with what was leased for it already, if anything
// was. Entries that nobody gets are turned away, those that were deleted are forgotten; as
// long as there are only such, it goes on. When there may be more, it wakes the next in line.
func (b *Broker) take(ctx context.Context, r ReadRequest, given *newLease) ([]Delivery, error) {
	for {
		batch, isGiven, err := batch{}, false, error(nil)
		if given != nil {
			batch, isGiven, err = b.leased(ctx, given)
			given = nil
		}
		if !isGiven || err == nil && len(batch.deliveries)+len(batch.unwanted) == 0 {
			batch, err = b.lease(ctx, r)
		}
		if err != nil {
			return nil, err
		}
		if batch.isFull {
			b.waiters.NotifyGroup(b.keys.tasks(r.Queue), r.Group)
		}
		if err := ctx.Err(); err != nil {
			b.release(ctx, batch.deliveries)
			return nil, err
		}
		if err := b.adopt(ctx, r, &batch); err != nil {
			b.release(ctx, batch.deliveries)
			return nil, err
		}
		gone := batch.gone + b.turnAway(ctx, batch.unwanted)
		if len(batch.deliveries) > 0 || gone == 0 {
			return batch.deliveries, nil
		}
	}
}

// adopt takes over tasks that are for another group when that group is no more, or is the
// default group and not in use: no other would get them. They are delivered, unless they are cancelled or have crashed too many
// workers.
func (b *Broker) adopt(ctx context.Context, r ReadRequest, p *batch) error {
	if !slices.ContainsFunc(p.unwanted, func(u unwanted) bool { return u.forGroup != "" }) {
		return nil
	}
	groups, err := b.groups(context.WithoutCancel(ctx), r.Queue)
	if err != nil {
		return err
	}
	groups = b.countingGroups(groups)
	kept := p.unwanted[:0]
	for _, u := range p.unwanted {
		if u.forGroup != "" && !slices.ContainsFunc(groups, func(g GroupInfo) bool { return g.Name == u.forGroup }) {
			if u.forGroup = ""; u.action == "" {
				p.deliveries = append(p.deliveries, u.delivery)
				continue
			}
		}
		kept = append(kept, u)
	}
	p.unwanted = kept
	return nil
}

// lease runs the read script. The caller's end does not cut off its answer: what it
// leased must be delivered or given back.
func (b *Broker) lease(ctx context.Context, r ReadRequest) (batch, error) {
	lease := b.queueConfig(r.Queue).Lease
	mode, line := "new", r.Queue+"\x00"+r.Group
	switch {
	case r.OwnPending:
		mode = "own"
	case b.claims.due(line):
		mode = "claim"
	default:
		if p, ok, err := b.leaseNew(ctx, r); ok || err != nil {
			return p, err
		}
	}
	start := time.Now()
	fairKeys, fairness := b.fair(r.Queue)
	keys := append([]string{b.keys.tasks(r.Queue), b.keys.paused(r.Queue), b.keys.cancelledJobs(), b.keys.uncounted(r.Queue), b.keys.groupBegins(r.Queue),
		b.keys.createdGroups(r.Queue)}, fairKeys...)
	reply, err := readScript.run(context.WithoutCancel(ctx), b.client, repeatable, keys,
		r.Group, r.Consumer, r.Max, lease.Milliseconds(), mode, batchBytes, b.deliveryOverhead(r), fieldOverhead, fairness,
		b.mayCreate(r.Queue, r.Group))
	if err != nil {
		b.claims.again(line)
		return batch{}, err
	}
	rows, ok := reply.([]any)
	if !ok || len(rows) < 4 {
		return batch{}, fmt.Errorf("read: unexpected reply %T", reply)
	}
	now, p := integer(rows[0]), batch{gone: int(integer(rows[1]))}
	b.lines.isPaused(r.Queue, rows[2] == "PAUSED")
	if p.gone > 0 {
		b.log.Warn("entries were deleted while they were leased", "queue", r.Queue, "group", r.Group, "entries", p.gone)
	}
	switch {
	case rows[2] == "MORE", rows[2] == "PAUSED": // more may be due; nothing was looked for
		b.claims.again(line)
	case mode == "claim":
		b.claims.took(line, time.Since(start))
	}
	health, _ := rows[3].(string)
	switch health {
	case "NO_GROUP":
		return batch{}, &GroupError{Queue: r.Queue, Group: r.Group, Err: ErrGroupNotFound}
	case "GROUPS":
		return batch{}, &GroupError{Queue: r.Queue, Group: r.Group, Err: ErrTooManyGroups}
	}
	b.known.line(b.log, r.Queue, r.Group, health)
	if health != "ABSENT" {
		b.noteQueue(ctx, r.Queue)
	}
	for _, row := range rows[4:] {
		b.lines.saw(r.Queue, row)
		if err := p.add(row, Lease{Prefix: b.keys.prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer}, b.queueConfig(r.Queue)); err != nil {
			return batch{}, err
		}
	}
	p.expireAt(time.UnixMilli(now).Add(lease))
	p.isFull = len(rows)-4 == r.Max && !r.OwnPending
	return p, nil
}

// batchBytes is how much one answer may hold. Decoding can make an entry half as large
// again at most, so an answer stays below the 4 MiB that clients accept by default.
const batchBytes = 5 << 19

// deliveryOverhead is what a delivery takes in an answer beside its task: its token holds
// all these names, and is written as base64.
func (b *Broker) deliveryOverhead(r ReadRequest) int {
	return 256 + 2*(len(b.keys.prefix)+len(r.Queue)+len(r.Group)+len(r.Consumer)+MaxNameBytes)
}

// release gives deliveries back that the caller won't get. When that fails they are
// redelivered as if their worker had crashed.
func (b *Broker) release(ctx context.Context, deliveries []Delivery) {
	if len(deliveries) == 0 {
		return
	}
	leases := make([]Lease, len(deliveries))
	for i, d := range deliveries {
		leases[i] = d.Lease
	}
	if err := b.giveUp(context.WithoutCancel(ctx), leases...); err != nil {
		b.log.Warn("could not give deliveries back; they wait until their lease runs out", "queue", leases[0].Queue, "error", err)
	}
}

// uncountedTTL is how long it is remembered, after the last one, which deliveries don't
// count.
const uncountedTTL = 24 * time.Hour

// giveUp gives up leases of one queue and group as if the entries had not been delivered.
// ErrLeaseLost when none of them was held.
func (b *Broker) giveUp(ctx context.Context, leases ...Lease) error {
	first := leases[0]
	args := []any{first.Group, b.queueConfig(first.Queue).Lease.Milliseconds(), uncountedTTL.Milliseconds()}
	for _, lease := range leases {
		args = append(args, lease.args()...)
	}
	key := b.keys.tasks(first.Queue)
	released, err := releaseScript.run(ctx, b.client, repeatable, []string{key, b.keys.uncounted(first.Queue)}, args...)
	if err != nil {
		return err
	}
	if released == int64(0) {
		return ErrLeaseLost
	}
	b.claims.again(first.Queue + "\x00" + first.Group)
	b.waiters.NotifyGroup(key, first.Group)
	return nil
}

// turnAway settles leased entries that nobody gets, and says how many it could. The
// others come again when their lease has run out.
func (b *Broker) turnAway(ctx context.Context, entries []unwanted) int {
	n := 0
	for _, u := range entries {
		var err error
		if u.forGroup != "" { // which has it, too
			_, err = b.ack(context.WithoutCancel(ctx), []Lease{u.lease})
		} else {
			_, err = b.giveBack(context.WithoutCancel(ctx), u.lease, u.giveBack)
		}
		if err != nil {
			b.log.Error("could not turn an entry away", "queue", u.lease.Queue, "job_id", u.lease.JobID, "message_id", u.lease.EntryID, "error", err)
			continue
		}
		n++
	}
	return n
}
