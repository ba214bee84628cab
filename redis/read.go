package redis

import (
	"context"
	"errors"
	"fmt"
	"time"
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
		return b.take(ctx, r)
	}
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	place := b.bell.join(b.keys.tasks(r.Queue), r.Group)
	defer place.leave()
	for {
		deliveries, err := b.take(ctx, r)
		if err != nil {
			return nil, err
		}
		if len(deliveries) > 0 {
			if len(deliveries) == r.Max { // there may be more
				b.bell.ringLine(place.key, place.line)
			}
			return deliveries, nil
		}
		select {
		case <-place.rung:
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
	return r, errors.Join(CheckID("group", r.Group), CheckID("consumer", r.Consumer))
}

// take leases what there is. Entries that are no tasks go to the dead letters, those
// that were deleted are forgotten; as long as there are only such, it goes on.
func (b *Broker) take(ctx context.Context, r ReadRequest) ([]Delivery, error) {
	for {
		batch, err := b.lease(ctx, r)
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			b.release(ctx, batch.deliveries)
			return nil, err
		}
		quarantined := b.quarantine(ctx, batch.malformed)
		if len(batch.deliveries) > 0 || quarantined+batch.gone == 0 {
			return batch.deliveries, nil
		}
	}
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
	}
	start := time.Now()
	reply, err := readScript.run(context.WithoutCancel(ctx), b.client, repeatable, []string{b.keys.tasks(r.Queue)},
		r.Group, r.Consumer, r.Max, lease.Milliseconds(), mode, batchBytes, b.deliveryOverhead(r), fieldOverhead)
	if err != nil {
		b.claims.again(line)
		return batch{}, err
	}
	rows, ok := reply.([]any)
	if !ok || len(rows) < 3 {
		return batch{}, fmt.Errorf("read: unexpected reply %T", reply)
	}
	now, p := integer(rows[0]), batch{gone: int(integer(rows[1]))}
	if p.gone > 0 {
		b.log.Warn("entries were deleted while they were leased", "queue", r.Queue, "group", r.Group, "entries", p.gone)
	}
	if rows[2] != "" { // more may be due
		b.claims.again(line)
	} else if mode == "claim" {
		b.claims.took(line, time.Since(start))
	}
	for _, row := range rows[3:] {
		if err := p.add(row, Lease{Prefix: b.keys.prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer}); err != nil {
			return batch{}, err
		}
	}
	for i := range p.deliveries {
		p.deliveries[i].ExpiresAt = time.UnixMilli(now).Add(lease)
	}
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
	first := deliveries[0].Lease
	args := []any{first.Group, b.queueConfig(first.Queue).Lease.Milliseconds()}
	for _, d := range deliveries {
		args = append(args, d.Lease.args()...)
	}
	key := b.keys.tasks(first.Queue)
	if _, err := releaseScript.run(context.WithoutCancel(ctx), b.client, repeatable, []string{key}, args...); err != nil {
		b.log.Warn("could not give deliveries back; they wait until their lease runs out", "queue", first.Queue, "error", err)
		return
	}
	b.claims.again(first.Queue + "\x00" + first.Group)
	b.bell.ringLine(key, first.Group)
}

// quarantine puts entries that are no tasks to the dead letters, and says how many it
// could. The others come again when their lease has run out.
func (b *Broker) quarantine(ctx context.Context, entries []malformed) int {
	n := 0
	for _, m := range entries {
		m.lease.JobID = ""
		if err := b.giveBack(context.WithoutCancel(ctx), m.lease, giveBack{action: "dead", reason: m.reason}); err != nil {
			b.log.Error("could not quarantine an entry", "queue", m.lease.Queue, "message_id", m.lease.EntryID, "error", err)
			continue
		}
		n++
		b.log.Warn("quarantined an entry that is no task", "queue", m.lease.Queue, "message_id", m.lease.EntryID, "reason", m.reason)
	}
	return n
}
