package queue

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Waitlists hold the reads that wait for tasks, by stream and group. A publisher can grant a waiting
// read what it has leased for it.
type (
	Waitlists = notify.Waitlists[ReadRequest, Grant]
	Waiter    = notify.Waiter[ReadRequest, Grant]
)

// NewWaitlists returns empty waitlists.
func NewWaitlists() *Waitlists { return notify.NewWaitlists[ReadRequest, Grant](job.CursorLess) }

// Reader leases tasks.
type Reader struct {
	*conn.Shard
	waiters  *Waitlists
	registry *Registry
	settler  *Settler
}

// NewReader returns a reader.
func NewReader(shard *conn.Shard, waiters *Waitlists, registry *Registry, settler *Settler) *Reader {
	return &Reader{shard, waiters, registry, settler}
}

// ReadRequest asks for work.
type ReadRequest struct {
	Queue    string // "" for the default queue
	Group    string // "" for the default group
	Consumer string
	Max      int // 1 to MaxBatch; 0 for 1
	// Wait is how long to wait for work; 0 to return at once.
	Wait time.Duration
	// OwnPending asks for what the consumer already holds, instead of new work.
	OwnPending bool
}

// Delivery is a task under a lease.
type Delivery struct {
	Lease       job.Lease
	Attempt     int // 1 at the first delivery of the task
	Failures    int // how often a worker has requeued the task
	ExpiresAt   time.Time
	PublishedAt time.Time
	Task        job.Task
}

// Normalize checks a request and fills in its defaults.
func (rd *Reader) Normalize(r ReadRequest) (ReadRequest, error) {
	var err error
	if r.Queue, err = rd.QueueName(r.Queue); err != nil {
		return r, err
	}
	r.Group, r.Max = cmp.Or(r.Group, rd.Settings.DefaultGroup), cmp.Or(r.Max, 1)
	if r.Max < 1 || r.Max > job.MaxBatch {
		return r, job.Invalid("max_tasks", "is %d, want 1 to %d", r.Max, job.MaxBatch)
	}
	return r, errors.Join(job.CheckID("group", r.Group), job.CheckConsumer("consumer", r.Consumer))
}

// Take leases the tasks that are available now: first what a publisher has leased for the request, if
// anything, then tasks whose lease has expired, oldest first, then new ones. Entries that are not to
// be delivered are settled; while there are only such, it continues. If there may be more tasks, it
// wakes the next waiter. When ctx ends, what was leased is released and the context's error returned.
func (rd *Reader) Take(ctx context.Context, r ReadRequest, granted *Grant) ([]Delivery, error) {
	for ; ; granted = nil {
		batch, err := rd.lease(ctx, r, granted)
		if err != nil {
			return nil, err
		}
		if batch.isFull {
			rd.waiters.NotifyGroup(rd.Keys.Tasks(r.Queue), r.Group)
		}
		if err = ctx.Err(); err == nil {
			err = rd.adopt(ctx, r, &batch)
		}
		if err != nil {
			rd.settler.Release(ctx, batch.deliveries)
			return nil, err
		}
		settled := batch.gone + rd.settler.settleUndeliverable(ctx, batch.undeliverable)
		if len(batch.deliveries) > 0 || settled == 0 {
			return batch.deliveries, nil
		}
	}
}

// lease takes what was granted, or leases something in the cheapest way that is enough.
func (rd *Reader) lease(ctx context.Context, r ReadRequest, granted *Grant) (leasedBatch, error) {
	if granted != nil { // if that failed, reading again is all that is lost
		if batch, ok, _ := rd.collect(ctx, granted); ok && batch.size() > 0 {
			return batch, nil
		}
	}
	switch {
	case r.OwnPending:
		return rd.runScript(ctx, r, readOwn)
	case rd.registry.scans.due(r.Queue, r.Group):
		return rd.runScript(ctx, r, readExpired)
	}
	// Most reads find new entries and nothing that needs the script. For these, the four plain commands
	// of a grant cost Redis a third of the script.
	if grant := rd.newGrant(ctx, r); grant != nil {
		grant.err = rd.Batcher.Do(context.WithoutCancel(ctx), grant.commands()...)
		if batch, ok, err := rd.collect(ctx, grant); ok || err != nil {
			return batch, err
		}
	}
	return rd.runScript(ctx, r, readNew)
}

// adopt delivers tasks that are for another group if that group no longer exists, or is the default
// group and not in use: no other reader would get them. Tasks that are cancelled or have crashed too
// many workers are not delivered.
func (rd *Reader) adopt(ctx context.Context, r ReadRequest, batch *leasedBatch) error {
	if !batch.hasForeign() {
		return nil
	}
	groups, err := rd.Groups(context.WithoutCancel(ctx), r.Queue)
	if err != nil {
		return err
	}
	batch.adopt(rd.CountingGroups(groups))
	return nil
}

// ReturnGrant releases what was leased for a read that no longer waits.
func (rd *Reader) ReturnGrant(ctx context.Context, granted *Grant) {
	if batch, _, err := rd.collect(ctx, granted); err == nil {
		rd.settler.Release(ctx, batch.deliveries)
		rd.settler.settleUndeliverable(ctx, batch.undeliverable)
	}
}

// batchBytes is how many bytes of entries one read returns. Decoding makes an entry at most half as
// large again, so a response stays below the 4 MiB that clients accept by default.
const batchBytes = 5 << 19

// deliveryOverhead is what a delivery takes in a response beside its task: its token holds all these
// names and is encoded as base64.
func (rd *Reader) deliveryOverhead(r ReadRequest) int {
	return 256 + 2*(len(rd.Keys.Prefix)+len(r.Queue)+len(r.Group)+len(r.Consumer)+job.MaxNameBytes)
}
