package queue

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// runScript leases tasks by the read script. When the caller's context ends, the script's reply is
// still awaited: what it leased must be delivered or released.
func (rd *Reader) runScript(ctx context.Context, r ReadRequest, mode readMode) (leasedBatch, error) {
	config, start := rd.QueueSettings(r.Queue), time.Now()
	args := readArgs{Queue: r.Queue, Group: r.Group, Consumer: r.Consumer, Max: r.Max, Lease: config.Lease, Mode: mode,
		MaxBytes: batchBytes, PerEntry: rd.deliveryOverhead(r), Fairness: rd.Fairness(r.Queue), MayCreate: rd.MayCreate(r.Queue, r.Group)}
	reply, err := args.run(context.WithoutCancel(ctx), rd.Shard)
	if err != nil {
		rd.registry.scans.reset(r.Queue, r.Group)
		return leasedBatch{}, err
	}
	if reply.Gone > 0 {
		rd.Log.Warn("entries were deleted while they were leased", "queue", r.Queue, "group", r.Group, "entries", reply.Gone)
	}
	rd.registry.sizes.setPaused(r.Queue, reply.State == conn.VerdictPaused)
	rd.scheduleScan(r, reply, mode, time.Since(start))
	if err := rd.checkHealth(ctx, r, reply.Health); err != nil {
		return leasedBatch{}, err
	}
	batch := leasedBatch{gone: reply.Gone, isFull: len(reply.Entries) == r.Max && mode != readOwn}
	for _, entry := range reply.Entries {
		rd.registry.sizes.note(r.Queue, job.EntrySize(entry.fields))
		batch.add(entry, config)
	}
	batch.setExpiry(reply.Now.Add(config.Lease))
	return batch, nil
}

// scheduleScan sets when to look for expired leases again.
func (rd *Reader) scheduleScan(r ReadRequest, reply readReply, mode readMode, took time.Duration) {
	switch {
	case reply.State == conn.VerdictMore, reply.State == conn.VerdictPaused: // more may have expired, or the script has not looked
		rd.registry.scans.reset(r.Queue, r.Group)
	case mode == readExpired:
		rd.registry.scans.postpone(r.Queue, r.Group, took)
	}
}

// checkHealth handles what the script says of the group.
func (rd *Reader) checkHealth(ctx context.Context, r ReadRequest, health string) error {
	switch health {
	case conn.VerdictNoGroup:
		return &job.GroupError{Queue: r.Queue, Group: r.Group, Err: job.ErrGroupNotFound}
	case conn.VerdictTooManyGroups:
		return &job.GroupError{Queue: r.Queue, Group: r.Group, Err: job.ErrTooManyGroups}
	}
	rd.registry.Known.noteHealth(rd.Log, r.Queue, r.Group, health)
	if health != conn.VerdictAbsent {
		rd.registry.Note(ctx, r.Queue)
	}
	return nil
}
