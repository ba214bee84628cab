package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// publishPlain publishes tasks about which nothing is to be checked: by XADD, as a raw peer
// would, several in one transaction. Where the queue has no stream it publishes nothing, and
// hasStream is false: the script creates the stream together with its group.
func (p *Publisher) publishPlain(ctx context.Context, queue string, entries []newEntry) (published []Published, hasStream bool, err error) {
	key := p.Keys.Tasks(queue)
	isBatch := len(entries) > 1
	adds := make([]goredis.Cmder, 0, len(entries)+2)
	if isBatch {
		adds = append(adds, goredis.NewStatusCmd(ctx, "multi"))
	}
	for _, entry := range entries {
		args := append(make(resp.Command, 0, 4+len(entry.fields)), "xadd", key, "nomkstream", "*")
		adds = append(adds, conn.Raw(ctx, append(args, entry.fields...)))
	}
	if isBatch {
		adds = append(adds, conn.Raw(ctx, resp.Command{"exec"}))
	}
	var waiting *handOver
	if !isBatch {
		waiting = p.findReader(ctx, key)
	}
	if err := p.Batcher.Send(waiting.keep(ctx), &conn.Unit{Commands: adds, After: waiting.commands(), Done: make(chan struct{})}); err != nil {
		waiting.end("", err)
		if errors.Is(err, conn.ErrNotExecuted) {
			return nil, false, nil // the keys are moving to another node: the script follows them
		}
		return nil, false, conn.Translate("publish", err, conn.Once)
	}
	if waiting != nil {
		id := ""
		if add, ok := adds[0].(*goredis.RawCmd); ok {
			if r, err := conn.RawReply(add); err == nil {
				id = r.Word()
			}
		}
		waiting.end(id, nil)
	}
	if isBatch && adds[0].Err() != nil {
		return nil, false, conn.Translate("publish", adds[0].Err(), conn.Once)
	}
	// A command that is refused says why; the transaction is not executed then.
	var last *resp.Reply
	for _, add := range adds {
		if raw, ok := add.(*goredis.RawCmd); ok {
			r, err := conn.RawReply(raw)
			if err != nil {
				return nil, false, conn.Translate("publish", err, conn.Once)
			}
			last = r
		}
	}
	if isBatch && last.List() != len(entries) {
		return nil, false, fmt.Errorf("publish: too few ids for %d tasks", len(entries))
	}
	published = make([]Published, len(entries))
	for i, entry := range entries {
		published[i] = Published{EntryID: last.Word(), JobID: entry.jobID}
	}
	if last.Err != nil {
		return nil, false, conn.Translate("publish", last.Err, conn.Once)
	}
	if published[0].EntryID == "" {
		return nil, false, nil
	}
	if last := published[len(published)-1].EntryID; waiting != nil {
		p.waiters.Note(key, last)
	} else {
		p.waiters.NotifyNew(key, last, len(published))
	}
	return published, true, nil
}

// publishShared publishes a task and creates its job's state, perhaps in one script call with
// others. Where the queue has no stream it does nothing, and hasStream is false, as for
// publishPlain.
func (p *Publisher) publishShared(ctx context.Context, queue string, entry newEntry, state *job.InitialState) (published []Published, hasStream bool, err error) {
	fields := state.Flat()
	args := make(resp.Command, 0, 3+len(fields)+len(entry.fields))
	args.Number(cmp.Or(state.TTL, p.Settings.StateTTL).Milliseconds())
	args.Counted(fields...)
	args.Counted(entry.fields...)
	key := p.Keys.Tasks(queue)
	waiting := p.findReader(ctx, key)
	reply, err := p.Batcher.Call(waiting.keep(ctx), &conn.BatchedCall{Script: conn.PublishEachScript, PerItem: 1,
		HeadKeys: resp.Command{key}, Keys: resp.Command{p.Keys.State(entry.jobID)}, Args: args}, conn.Once, waiting.commands()...)
	id := ""
	if err == nil && reply[0].Word != "NO_STREAM" {
		id = reply[0].Word
	}
	waiting.end(id, nil)
	if err != nil || reply[0].Word == "NO_STREAM" {
		return nil, false, err
	}
	if id == "" {
		return nil, false, &job.JobError{JobID: entry.jobID, Err: job.ErrJobExists}
	}
	p.watches.StateWritten(entry.jobID)
	if waiting != nil {
		p.waiters.Note(key, id)
	} else {
		p.waiters.NotifyNew(key, id, 1)
	}
	return []Published{{EntryID: id, JobID: entry.jobID}}, true, nil
}
