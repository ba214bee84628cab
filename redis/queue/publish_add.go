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

// add publishes tasks by XADD, several in one transaction. A task alone is leased for a waiting read in
// the same round trip. errNotAdded when the queue has no stream.
func (pub *Publisher) add(ctx context.Context, queue string, tasks []encodedTask) ([]Published, error) {
	stream := pub.Keys.Tasks(queue)
	if len(tasks) > 1 {
		return pub.addBatch(ctx, stream, tasks)
	}
	xadd, handOver := newXAdd(ctx, stream, tasks[0]), pub.offer(ctx, stream)
	err := pub.Batcher.Send(handOver.detach(ctx), &conn.Unit{Commands: []goredis.Cmder{xadd}, After: handOver.commands(), Done: make(chan struct{})})
	if err != nil {
		handOver.end("", err)
		return nil, conn.Translate("publish", err, conn.Once)
	}
	id := ""
	reply, err := conn.RawReply(xadd)
	if err == nil {
		id, err = reply.Word(), reply.Err
	}
	handOver.end(id, nil)
	if err != nil {
		return nil, conn.Translate("publish", err, conn.Once)
	}
	return pub.added(stream, tasks, []string{id}, handOver)
}

// addBatch publishes tasks in one transaction.
func (pub *Publisher) addBatch(ctx context.Context, stream string, tasks []encodedTask) ([]Published, error) {
	multi, exec := goredis.NewStatusCmd(ctx, "multi"), conn.Raw(ctx, resp.Command{"exec"})
	xadds := make([]*goredis.RawCmd, len(tasks))
	commands := append(make([]goredis.Cmder, 0, len(tasks)+2), multi)
	for i, task := range tasks {
		xadds[i] = newXAdd(ctx, stream, task)
		commands = append(commands, xadds[i])
	}
	err := cmp.Or(pub.Batcher.Do(ctx, append(commands, exec)...), multi.Err())
	if errors.Is(err, conn.ErrNotExecuted) { // in a Cluster the slot has moved: the script follows it
		return nil, errNotAdded
	}
	if err != nil {
		return nil, conn.Translate("publish", err, conn.Once)
	}
	for _, xadd := range append(xadds, exec) { // a refused command says why; EXEC only that there was one
		if _, err := conn.RawReply(xadd); err != nil {
			return nil, conn.Translate("publish", err, conn.Once)
		}
	}
	reply, _ := conn.RawReply(exec)
	ids := reply.Words()
	switch {
	case reply.Err != nil:
		return nil, conn.Translate("publish", reply.Err, conn.Once)
	case len(ids) != len(tasks):
		return nil, fmt.Errorf("publish: EXEC returned %d ids for %d tasks", len(ids), len(tasks))
	}
	return pub.added(stream, tasks, ids, nil)
}

func newXAdd(ctx context.Context, stream string, task encodedTask) *goredis.RawCmd {
	words := append(make(resp.Command, 0, 4+len(task.entry)), "xadd", stream, "nomkstream", "*")
	return conn.Raw(ctx, append(words, task.entry...))
}

// addWithState publishes a task and creates its job's state. errNotAdded when the queue has no stream.
func (pub *Publisher) addWithState(ctx context.Context, queue string, task encodedTask, state *job.InitialState) ([]Published, error) {
	args := publishEachArgs{Stream: pub.Keys.Tasks(queue), State: pub.Keys.State(task.jobID),
		StateTTL: cmp.Or(state.TTL, pub.Settings.StateTTL), StateFields: state.Flat(), Entry: task.entry}
	handOver := pub.offer(ctx, args.Stream)
	id, verdict, err := args.run(handOver.detach(ctx), pub.Conn, handOver.commands()...)
	handOver.end(id, nil)
	switch {
	case err != nil:
		return nil, err
	case verdict == conn.VerdictNoStream:
		return nil, errNotAdded
	case verdict == conn.VerdictExists:
		return nil, &job.JobError{JobID: task.jobID, Err: job.ErrJobExists}
	}
	pub.watches.StateWritten(task.jobID)
	return pub.added(args.Stream, []encodedTask{task}, []string{id}, handOver)
}

// added notifies waiting reads of new entries, unless one has been handed over. errNotAdded when there
// was no stream to add them to.
func (pub *Publisher) added(stream string, tasks []encodedTask, ids []string, handOver *handOver) ([]Published, error) {
	last := ids[len(ids)-1]
	if last == "" {
		return nil, errNotAdded
	}
	if handOver != nil {
		pub.waiters.Note(stream, last)
	} else {
		pub.waiters.NotifyNew(stream, last, len(ids))
	}
	published := make([]Published, len(tasks))
	for i, task := range tasks {
		published[i] = Published{EntryID: ids[i], JobID: task.jobID}
	}
	return published, nil
}
