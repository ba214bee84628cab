package conn

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
)

// Concurrent commands share round trips: what was called while the pipelines were in flight
// goes out with the next one. Concurrent calls of one script share a call of it, where the
// script can handle several items. A unit that comes alone does not wait for others. (Natural
// batching: the busier, the larger.)
const (
	// pipelines is how many pipelines are in flight at a time.
	pipelines = 3
	// aloneLoad is up to how many units in flight each is sent by itself.
	aloneLoad = 2
	// pipelineCommands is how many commands a pipeline takes, at least.
	pipelineCommands = 128
	// sharedItems bounds the items of one script call: Redis does nothing else meanwhile.
	sharedItems = 64
)

// nodeBatcher sends units to one node. It never sends a command twice.
type nodeBatcher struct {
	client   *goredis.Client
	queue    chan *Unit
	slots    chan struct{} // one for each pipeline in flight
	load     atomic.Int64  // units without replies
	lastUsed atomic.Int64  // Unix seconds, of nodeBatchers
	end      chan struct{}
	closing  sync.Once
	workers  sync.WaitGroup
}

func newNodeBatcher(client *goredis.Client) *nodeBatcher {
	n := &nodeBatcher{client: client, queue: make(chan *Unit, 1024), slots: make(chan struct{}, pipelines), end: make(chan struct{})}
	for range pipelines {
		n.workers.Go(n.work)
	}
	return n
}

// send sends a unit and waits until it has its replies or ctx ends; in the latter case it may
// be sent nevertheless.
func (n *nodeBatcher) send(ctx context.Context, u *Unit) error {
	defer n.load.Add(-1)
	if n.load.Add(1) <= aloneLoad {
		select {
		case n.slots <- struct{}{}: // hardly any other caller to share with, and none to wait for
			n.exec(ctx, []*Unit{u})
			<-n.slots
			return nil
		default:
		}
	}
	select {
	case n.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-n.end:
		return goredis.ErrClosed
	}
	select {
	case <-u.Done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-n.end:
		n.refuse() // it may have come too late for the workers
		<-u.Done
		return nil
	}
}

func (n *nodeBatcher) work() {
	var units []*Unit
	for {
		select {
		case u := <-n.queue:
			units = append(units[:0], u)
		case <-n.end:
			n.refuse()
			return
		}
		n.slots <- struct{}{}
	more:
		for count := len(units[0].Commands); count < pipelineCommands && len(units) < pipelineCommands; {
			select {
			case u := <-n.queue:
				units = append(units, u)
				count += len(u.Commands)
			default:
				break more
			}
		}
		n.exec(context.Background(), units)
		<-n.slots
		for _, u := range units {
			close(u.Done)
		}
	}
}

// exec sends units in one pipeline. Their commands and calls have the errors.
func (n *nodeBatcher) exec(ctx context.Context, units []*Unit) {
	pipe := n.client.Pipeline()
	var calls []*sharedCall
	for _, u := range units {
		for _, command := range u.Commands {
			_ = pipe.Process(ctx, command)
		}
		if u.call != nil {
			calls = join(calls, u.call)
		}
	}
	for _, c := range calls {
		c.command = Raw(ctx, c.words(false))
		_ = pipe.Process(ctx, c.command)
	}
	for _, u := range units {
		for _, command := range u.After {
			_ = pipe.Process(ctx, command)
		}
	}
	_, _ = pipe.Exec(ctx)
	for _, c := range calls {
		reply, err := RawReply(c.command)
		if isUnknownScript(err) {
			c.command = Raw(ctx, c.words(true))
			_ = n.client.Process(ctx, c.command)
			reply, err = RawReply(c.command)
		}
		c.deliver(reply, err)
	}
}

// refuse ends the units that were still queued when the batcher was closed.
func (n *nodeBatcher) refuse() {
	for {
		select {
		case u := <-n.queue:
			for _, command := range slices.Concat(u.Commands, u.After) {
				command.SetErr(goredis.ErrClosed)
			}
			if u.call != nil {
				u.call.err = goredis.ErrClosed
			}
			close(u.Done)
		default:
			return
		}
	}
}

// close ends the workers and waits for them. Units that were not sent get ErrClosed.
func (n *nodeBatcher) close() {
	n.closing.Do(func() { close(n.end) })
	n.workers.Wait()
	n.refuse()
}
