package redis

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// isPlain is true of a queue that checks nothing when a task is published.
func (c QueueConfig) isPlain() bool { return c.FairBy == "" && !c.UniqueJobs && c.MaxLength == 0 }

// publishPlain publishes tasks about which nothing is to be checked: by XADD, as a raw peer
// would, several in one transaction.
func (b *Broker) publishPlain(ctx context.Context, queue string, entries []newEntry) ([]Published, bool, error) {
	key := b.keys.tasks(queue)
	isBatch := len(entries) > 1
	adds := make([]goredis.Cmder, 0, len(entries)+2)
	if isBatch {
		adds = append(adds, goredis.NewStatusCmd(ctx, "multi"))
	}
	for _, entry := range entries {
		args := append(make(words, 0, 3+len(entry.fields)), "xadd", key, "*")
		adds = append(adds, command(ctx, append(args, entry.fields...)))
	}
	if isBatch {
		adds = append(adds, command(ctx, words{"exec"}))
	}
	if err := b.client.pipeliner.do(ctx, adds...); err != nil {
		return nil, false, translate("publish", err, once)
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
	published := make([]Published, len(entries))
	for i, entry := range entries {
		published[i] = Published{EntryID: last.word(), JobID: entry.jobID}
	}
	if last.err != nil {
		return nil, false, translate("publish", last.err, once)
	}
	b.know(ctx, queue)
	b.bell.ringNew(key, published[len(published)-1].EntryID, len(published))
	return published, false, nil
}

// publishShared publishes a task and creates its job's state, perhaps in one script call with
// others.
func (b *Broker) publishShared(ctx context.Context, queue string, entry newEntry, state *InitialState) ([]Published, bool, error) {
	fields := state.flat()
	args := make(words, 0, 3+len(fields)+len(entry.fields))
	args.number(orDefault(state.TTL, b.config.StateTTL).Milliseconds())
	args.counted(fields...)
	args.counted(entry.fields...)
	key := b.keys.tasks(queue)
	reply, err := b.client.pipeliner.call(ctx, &share{script: publishEachScript, perItem: 1,
		headKeys: words{key}, keys: words{b.keys.state(entry.jobID)}, args: args}, once)
	if err != nil {
		return nil, false, err
	}
	id := reply[0].word
	if id == "" {
		return nil, false, &JobError{JobID: entry.jobID, Err: ErrJobExists}
	}
	b.know(ctx, queue)
	b.ringState(entry.jobID)
	b.bell.ringNew(key, id, 1)
	return []Published{{EntryID: id, JobID: entry.jobID}}, false, nil
}
