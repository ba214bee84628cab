package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// isPlain is true of a queue that checks nothing when a task is published, and does not wait
// for replicas.
func (c QueueConfig) isPlain() bool {
	return c.FairBy == "" && !c.UniqueJobs && c.MaxLength == 0 && c.WaitReplicas == 0
}

// publishPlain publishes tasks about which nothing is to be checked: by XADD, as a raw peer
// would, several in one transaction. Where the queue has no stream it publishes nothing, and
// hasStream is false: the script creates the stream together with its group.
func (b *Broker) publishPlain(ctx context.Context, queue string, entries []newEntry) (published []Published, hasStream bool, err error) {
	key := b.keys.tasks(queue)
	isBatch := len(entries) > 1
	adds := make([]goredis.Cmder, 0, len(entries)+2)
	if isBatch {
		adds = append(adds, goredis.NewStatusCmd(ctx, "multi"))
	}
	for _, entry := range entries {
		args := append(make(words, 0, 4+len(entry.fields)), "xadd", key, "nomkstream", "*")
		adds = append(adds, command(ctx, append(args, entry.fields...)))
	}
	if isBatch {
		adds = append(adds, command(ctx, words{"exec"}))
	}
	var reader *reader
	if !isBatch {
		reader = b.findReader(ctx, key)
	}
	if err := b.client.pipeliner.send(reader.keep(ctx), &unit{commands: adds, after: reader.commands(), done: make(chan struct{})}); err != nil {
		reader.give("", err)
		return nil, false, translate("publish", err, once)
	}
	if reader != nil {
		id := ""
		if add, ok := adds[0].(*goredis.RawCmd); ok {
			if r, err := rawReply(add); err == nil {
				id = r.word()
			}
		}
		reader.give(id, nil)
	}
	if isBatch && adds[0].Err() != nil {
		return nil, false, translate("publish", adds[0].Err(), once)
	}
	// A command that is refused says why; the transaction is not executed then.
	var last *reply
	for _, add := range adds {
		if raw, ok := add.(*goredis.RawCmd); ok {
			r, err := rawReply(raw)
			if err != nil {
				return nil, false, translate("publish", err, once)
			}
			last = r
		}
	}
	if isBatch && last.list() != len(entries) {
		return nil, false, fmt.Errorf("publish: too few ids for %d tasks", len(entries))
	}
	published = make([]Published, len(entries))
	for i, entry := range entries {
		published[i] = Published{EntryID: last.word(), JobID: entry.jobID}
	}
	if last.err != nil {
		return nil, false, translate("publish", last.err, once)
	}
	if published[0].EntryID == "" {
		return nil, false, nil
	}
	if last := published[len(published)-1].EntryID; reader != nil {
		b.waiters.Note(key, last)
	} else {
		b.waiters.NotifyNew(key, last, len(published))
	}
	return published, true, nil
}

// reader is who waits for the task that is being published: his read goes out with it.
type reader struct {
	broker *Broker
	place  *waiter
	lease  *newLease
}

// findReader finds one; nil when nobody waits, or only some for whom that can't be done.
func (b *Broker) findReader(ctx context.Context, key string) *reader {
	place, wants := b.waiters.Offer(key)
	if place == nil {
		return nil
	}
	lease := b.newLease(ctx, wants)
	if lease == nil {
		place.Grant(nil)
		return nil
	}
	return &reader{broker: b, place: place, lease: lease}
}

// keep is the context of a publish: its caller's end must not cut off what a reader gets.
func (r *reader) keep(ctx context.Context) context.Context {
	if r == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

func (r *reader) commands() []goredis.Cmder {
	if r == nil {
		return nil
	}
	return r.lease.commands()
}

// give wakes the reader with what he got, or with the error that kept him from it. added is
// the entry that was published, "" if none was.
func (r *reader) give(added string, err error) {
	if r == nil {
		return
	}
	r.lease.added = added
	if r.lease.err = err; !r.place.Grant(r.lease) {
		r.broker.refuse(context.Background(), r.lease)
	}
}

// publishShared publishes a task and creates its job's state, perhaps in one script call with
// others. Where the queue has no stream it does nothing, and hasStream is false, as for
// publishPlain.
func (b *Broker) publishShared(ctx context.Context, queue string, entry newEntry, state *InitialState) (published []Published, hasStream bool, err error) {
	fields := state.flat()
	args := make(words, 0, 3+len(fields)+len(entry.fields))
	args.number(orDefault(state.TTL, b.config.StateTTL).Milliseconds())
	args.counted(fields...)
	args.counted(entry.fields...)
	key := b.keys.tasks(queue)
	reader := b.findReader(ctx, key)
	reply, err := b.client.pipeliner.call(reader.keep(ctx), &share{script: publishEachScript, perItem: 1,
		headKeys: words{key}, keys: words{b.keys.state(entry.jobID)}, args: args}, once, reader.commands()...)
	id := ""
	if err == nil && reply[0].word != "NO_STREAM" {
		id = reply[0].word
	}
	reader.give(id, nil)
	if err != nil || reply[0].word == "NO_STREAM" {
		return nil, false, err
	}
	if id == "" {
		return nil, false, &JobError{JobID: entry.jobID, Err: ErrJobExists}
	}
	b.ringState(entry.jobID)
	if reader != nil {
		b.waiters.Note(key, id)
	} else {
		b.waiters.NotifyNew(key, id, 1)
	}
	return []Published{{EntryID: id, JobID: entry.jobID}}, true, nil
}
