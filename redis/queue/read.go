package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	Max      int // 1 to MaxBatch
	// Wait is how long to wait for work; 0 means not at all.
	Wait time.Duration
	// OwnPending asks for what the consumer holds already, instead of new work.
	OwnPending bool
}

// Delivery is a task under a lease.
type Delivery struct {
	Lease       job.Lease
	Attempt     int // 1 at the first delivery of the task
	Failures    int // how often a worker gave the task back
	ExpiresAt   time.Time
	PublishedAt time.Time
	Task        job.Task
}

// Read leases tasks to a consumer: first those whose lease ran out, oldest first, then
// new ones. It returns none when there are none until Wait is over. When the context
// ends, what was leased meanwhile is given back at once, and the context's error is
// returned.
func (rd *Reader) Read(ctx context.Context, r ReadRequest) ([]Delivery, error) {
	r, err := rd.Normalize(r)
	if err != nil {
		return nil, err
	}
	if r.OwnPending || r.Wait <= 0 {
		return rd.Take(ctx, r, nil)
	}
	timer := time.NewTimer(r.Wait)
	defer timer.Stop()
	signal := notify.NewSignal()
	place := rd.waiters.Enqueue(rd.Keys.Tasks(r.Queue), r.Group, signal)
	defer rd.leave(ctx, place)
	for {
		place.Consume()
		deliveries, err := rd.Take(ctx, r, place.Take())
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

func (rd *Reader) Normalize(r ReadRequest) (ReadRequest, error) {
	var err error
	if r.Queue, err = rd.QueueName(r.Queue); err != nil {
		return r, err
	}
	if r.Group == "" {
		r.Group = rd.Settings.DefaultGroup
	}
	if r.Max == 0 {
		r.Max = 1
	}
	if r.Max < 1 || r.Max > job.MaxBatch {
		return r, job.Invalid("max_tasks", "is %d, want 1 to %d", r.Max, job.MaxBatch)
	}
	return r, errors.Join(job.CheckID("group", r.Group), job.CheckConsumer("consumer", r.Consumer))
}

// leave gives up a place. What was read for it meanwhile is given back.
func (r *Reader) leave(ctx context.Context, place *Waiter) {
	place.Leave()
	if given := place.Take(); given != nil {
		r.ReturnGrant(ctx, given)
	}
}

// ReturnGrant gives back what was leased for someone who left.
func (r *Reader) ReturnGrant(ctx context.Context, l *Grant) {
	if p, _, err := r.leased(ctx, l); err == nil {
		r.settler.release(ctx, p.deliveries)
		r.settler.settleUndeliverable(ctx, p.unwanted)
	}
}

// Take leases what there is, beginning with what was leased for it already, if anything
// was. Entries that nobody gets are turned away, those that were deleted are forgotten; as
// long as there are only such, it goes on. When there may be more, it wakes the next in line.
func (rd *Reader) Take(ctx context.Context, r ReadRequest, given *Grant) ([]Delivery, error) {
	for {
		batch, isGiven, err := leasedBatch{}, false, error(nil)
		if given != nil {
			batch, isGiven, err = rd.leased(ctx, given)
			given = nil
		}
		if !isGiven || err == nil && len(batch.deliveries)+len(batch.unwanted) == 0 {
			batch, err = rd.lease(ctx, r)
		}
		if err != nil {
			return nil, err
		}
		if batch.isFull {
			rd.waiters.NotifyGroup(rd.Keys.Tasks(r.Queue), r.Group)
		}
		if err := ctx.Err(); err != nil {
			rd.settler.release(ctx, batch.deliveries)
			return nil, err
		}
		if err := rd.adopt(ctx, r, &batch); err != nil {
			rd.settler.release(ctx, batch.deliveries)
			return nil, err
		}
		gone := batch.gone + rd.settler.settleUndeliverable(ctx, batch.unwanted)
		if len(batch.deliveries) > 0 || gone == 0 {
			return batch.deliveries, nil
		}
	}
}

// adopt takes over tasks that are for another group when that group is no more, or is the
// default group and not in use: no other would get them. They are delivered, unless they are cancelled or have crashed too many
// workers.
func (rd *Reader) adopt(ctx context.Context, r ReadRequest, p *leasedBatch) error {
	if !slices.ContainsFunc(p.unwanted, func(u undeliverable) bool { return u.forGroup != "" }) {
		return nil
	}
	groups, err := rd.Groups(context.WithoutCancel(ctx), r.Queue)
	if err != nil {
		return err
	}
	groups = rd.CountingGroups(groups)
	kept := p.unwanted[:0]
	for _, u := range p.unwanted {
		if u.forGroup != "" && !slices.ContainsFunc(groups, func(g job.GroupInfo) bool { return g.Name == u.forGroup }) {
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
func (rd *Reader) lease(ctx context.Context, r ReadRequest) (leasedBatch, error) {
	lease := rd.QueueSettings(r.Queue).Lease
	mode, line := "new", r.Queue+"\x00"+r.Group
	switch {
	case r.OwnPending:
		mode = "own"
	case rd.registry.scans.due(line):
		mode = "claim"
	default:
		if p, ok, err := rd.leaseNew(ctx, r); ok || err != nil {
			return p, err
		}
	}
	start := time.Now()
	fairKeys, fairness := rd.Fair(r.Queue)
	keys := append([]string{rd.Keys.Tasks(r.Queue), rd.Keys.Paused(r.Queue), rd.Keys.CancelledJobs(), rd.Keys.Uncounted(r.Queue), rd.Keys.GroupBegins(r.Queue),
		rd.Keys.CreatedGroups(r.Queue)}, fairKeys...)
	reply, err := conn.ReadScript.Run(context.WithoutCancel(ctx), rd.Conn, conn.Repeatable, keys,
		r.Group, r.Consumer, r.Max, lease.Milliseconds(), mode, batchBytes, rd.deliveryOverhead(r), job.FieldOverhead, fairness,
		rd.MayCreate(r.Queue, r.Group))
	if err != nil {
		rd.registry.scans.reset(line)
		return leasedBatch{}, err
	}
	rows, ok := reply.([]any)
	if !ok || len(rows) < 4 {
		return leasedBatch{}, fmt.Errorf("read: unexpected reply %T", reply)
	}
	now, p := job.ParseCell(rows[0]), leasedBatch{gone: int(job.ParseCell(rows[1]))}
	rd.registry.sizes.setPaused(r.Queue, rows[2] == "PAUSED")
	if p.gone > 0 {
		rd.Log.Warn("entries were deleted while they were leased", "queue", r.Queue, "group", r.Group, "entries", p.gone)
	}
	switch {
	case rows[2] == "MORE", rows[2] == "PAUSED": // more may be due; nothing was looked for
		rd.registry.scans.reset(line)
	case mode == "claim":
		rd.registry.scans.postpone(line, time.Since(start))
	}
	health, _ := rows[3].(string)
	switch health {
	case "NO_GROUP":
		return leasedBatch{}, &job.GroupError{Queue: r.Queue, Group: r.Group, Err: job.ErrGroupNotFound}
	case "GROUPS":
		return leasedBatch{}, &job.GroupError{Queue: r.Queue, Group: r.Group, Err: job.ErrTooManyGroups}
	}
	rd.registry.Known.noteHealth(rd.Log, r.Queue, r.Group, health)
	if health != "ABSENT" {
		rd.registry.Note(ctx, r.Queue)
	}
	for _, row := range rows[4:] {
		rd.registry.sizes.noteRow(r.Queue, row)
		if err := p.add(row, job.Lease{Prefix: rd.Keys.Prefix, Queue: r.Queue, Group: r.Group, Consumer: r.Consumer}, rd.QueueSettings(r.Queue)); err != nil {
			return leasedBatch{}, err
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
func (rd *Reader) deliveryOverhead(r ReadRequest) int {
	return 256 + 2*(len(rd.Keys.Prefix)+len(r.Queue)+len(r.Group)+len(r.Consumer)+job.MaxNameBytes)
}

// release gives deliveries back that the caller won't get. When that fails they are
// redelivered as if their worker had crashed.
func (s *Settler) release(ctx context.Context, deliveries []Delivery) {
	if len(deliveries) == 0 {
		return
	}
	leases := make([]job.Lease, len(deliveries))
	for i, d := range deliveries {
		leases[i] = d.Lease
	}
	if err := s.releaseLeases(context.WithoutCancel(ctx), leases...); err != nil {
		s.Log.Warn("could not give deliveries back; they wait until their lease runs out", "queue", leases[0].Queue, "error", err)
	}
}

// UncountedTTL is how long it is remembered, after the last one, which deliveries don't
// count.
const UncountedTTL = 24 * time.Hour

// releaseLeases gives up leases of one queue and group as if the entries had not been delivered.
// ErrLeaseLost when none of them was held.
func (s *Settler) releaseLeases(ctx context.Context, leases ...job.Lease) error {
	first := leases[0]
	args := []any{first.Group, s.QueueSettings(first.Queue).Lease.Milliseconds(), UncountedTTL.Milliseconds()}
	for _, lease := range leases {
		args = append(args, lease.Args()...)
	}
	key := s.Keys.Tasks(first.Queue)
	released, err := conn.ReleaseScript.Run(ctx, s.Conn, conn.Repeatable, []string{key, s.Keys.Uncounted(first.Queue)}, args...)
	if err != nil {
		return err
	}
	if released == int64(0) {
		return job.ErrLeaseLost
	}
	s.registry.scans.reset(first.Queue + "\x00" + first.Group)
	s.waiters.NotifyGroup(key, first.Group)
	return nil
}

// settleUndeliverable settles leased entries that nobody gets, and says how many it could. The
// others come again when their lease has run out.
func (s *Settler) settleUndeliverable(ctx context.Context, entries []undeliverable) int {
	n := 0
	for _, u := range entries {
		var err error
		if u.forGroup != "" { // which has it, too
			_, err = s.ack(context.WithoutCancel(ctx), []job.Lease{u.lease})
		} else {
			_, err = s.requeue(context.WithoutCancel(ctx), u.lease, u.requeueRequest)
		}
		if err != nil {
			s.Log.Error("could not turn an entry away", "queue", u.lease.Queue, "job_id", u.lease.JobID, "message_id", u.lease.EntryID, "error", err)
			continue
		}
		n++
	}
	return n
}
