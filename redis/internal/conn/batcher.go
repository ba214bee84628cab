package conn

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
)

// Concurrent commands share round trips: whatever was called while the pipelines were on
// their way goes out with the next one. And concurrent calls of one script share a call of
// it, where the script can do many things for different callers. What comes alone does not
// wait for others. (Natural batching: the busier, the larger.)
const (
	// pipelines is how many are on their way at a time.
	pipelines = 3
	// aloneLoad is up to how many units that are on their way go by themselves.
	aloneLoad = 2
	// pipelineCommands is how many commands one takes, at least.
	pipelineCommands = 128
	// sharedItems is how many items one script call does: Redis does nothing else
	// meanwhile.
	sharedItems = 64
)

// Unit is what goes out together: commands in their order, or a share of a script call.
type Unit struct {
	Commands []goredis.Cmder
	share    *BatchedCall
	After    []goredis.Cmder // behind all others
	Done     chan struct{}
}

// BatchedCall is one caller's part of a script call. The script takes the head's keys and
// arguments, which are the same for all who share the call, and after them the keys and
// arguments of any number of items; it returns a list with perItem elements for each.
type BatchedCall struct {
	Script             *Script
	HeadKeys, HeadArgs resp.Command
	Keys, Args         resp.Command
	PerItem            int

	reply []resp.Element
	err   error
}

// isWith is true of shares that can go into one call.
func (s *BatchedCall) isWith(other *BatchedCall) bool {
	return s.Script == other.Script && slices.Equal(s.HeadKeys, other.HeadKeys) && slices.Equal(s.HeadArgs, other.HeadArgs)
}

// Batcher sends units.
type Batcher struct {
	client  *goredis.Client
	queue   chan *Unit
	slots   chan struct{} // one for each pipeline that is on its way
	load    atomic.Int64  // units that are not answered
	end     chan struct{}
	closing sync.Once
	workers sync.WaitGroup
}

func newPipeliner(client *goredis.Client) *Batcher {
	p := &Batcher{client: client, queue: make(chan *Unit, 1024), slots: make(chan struct{}, pipelines), end: make(chan struct{})}
	for range pipelines {
		p.workers.Go(p.work)
	}
	return p
}

// Do sends commands, and waits until they are answered or ctx ends; then they may be sent
// all the same. Errors are in the commands.
func (p *Batcher) Do(ctx context.Context, commands ...goredis.Cmder) error {
	return p.Send(ctx, &Unit{Commands: commands, Done: make(chan struct{})})
}

// Call has a script do an item, perhaps with others; the commands follow it.
func (p *Batcher) Call(ctx context.Context, s *BatchedCall, e Effect, after ...goredis.Cmder) ([]resp.Element, error) {
	if err := p.Send(ctx, &Unit{share: s, After: after, Done: make(chan struct{})}); err != nil {
		return nil, Translate(s.Script.Name, err, e)
	}
	return s.reply, Translate(s.Script.Name, s.err, e)
}

func (p *Batcher) Send(ctx context.Context, u *Unit) error {
	defer p.load.Add(-1)
	if p.load.Add(1) <= aloneLoad {
		select {
		case p.slots <- struct{}{}: // hardly anybody to share with, and nobody to wait for
			p.exec(ctx, []*Unit{u})
			<-p.slots
			return nil
		default:
		}
	}
	select {
	case p.queue <- u:
	case <-ctx.Done():
		return ctx.Err()
	case <-p.end:
		return goredis.ErrClosed
	}
	select {
	case <-u.Done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.end:
		p.refuse() // it may have come too late for the workers
		<-u.Done
		return nil
	}
}

func (p *Batcher) work() {
	var units []*Unit
	for {
		select {
		case u := <-p.queue:
			units = append(units[:0], u)
		case <-p.end:
			p.refuse()
			return
		}
		p.slots <- struct{}{}
	more:
		for n := len(units[0].Commands); n < pipelineCommands && len(units) < pipelineCommands; {
			select {
			case u := <-p.queue:
				units = append(units, u)
				n += len(u.Commands)
			default:
				break more
			}
		}
		p.exec(context.Background(), units)
		<-p.slots
		for _, u := range units {
			close(u.Done)
		}
	}
}

// exec sends units in one pipeline. Their commands and shares have the errors.
func (p *Batcher) exec(ctx context.Context, units []*Unit) {
	pipe := p.client.Pipeline()
	var calls []*sharedCall
	for _, u := range units {
		for _, command := range u.Commands {
			_ = pipe.Process(ctx, command)
		}
		if u.share != nil {
			calls = join(calls, u.share)
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
		if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			c.command = Raw(ctx, c.words(true))
			_ = p.client.Process(ctx, c.command)
			reply, err = RawReply(c.command)
		}
		c.deal(reply, err)
	}
}

// sharedCall is a script call of several callers.
type sharedCall struct {
	shares  []*BatchedCall
	items   int
	command *goredis.RawCmd
}

// join puts a share into a call that has room for it.
func join(calls []*sharedCall, s *BatchedCall) []*sharedCall {
	for _, c := range calls {
		if c.items < sharedItems && c.shares[0].isWith(s) {
			c.shares, c.items = append(c.shares, s), c.items+1
			return calls
		}
	}
	return append(calls, &sharedCall{shares: []*BatchedCall{s}, items: 1})
}

// words are those of the call, by the script's hash or with its text.
func (c *sharedCall) words(isWhole bool) resp.Command {
	first := c.shares[0]
	keys, args := len(first.HeadKeys), len(first.HeadArgs)
	for _, s := range c.shares {
		keys, args = keys+len(s.Keys), args+len(s.Args)
	}
	w := make(resp.Command, 0, 3+keys+args)
	if isWhole {
		w.Add("eval", first.Script.Source)
	} else {
		w.Add("evalsha", first.Script.Sha)
	}
	w.Add(strconv.Itoa(keys))
	w.Add(first.HeadKeys...)
	for _, s := range c.shares {
		w.Add(s.Keys...)
	}
	w.Add(first.HeadArgs...)
	for _, s := range c.shares {
		w.Add(s.Args...)
	}
	return w
}

// deal gives each caller his part of the reply.
func (c *sharedCall) deal(reply *resp.Reply, err error) {
	want := len(c.shares) * c.shares[0].PerItem
	if err == nil && reply.List() != want {
		reply.Fail("it has another length")
		err = reply.Err
	}
	for _, s := range c.shares {
		for range s.PerItem {
			if err == nil {
				s.reply = append(s.reply, reply.Element())
				err = reply.Err
			}
		}
		s.err = err
	}
}

// refuse answers what was queued when the pipeliner was closed.
func (p *Batcher) refuse() {
	for {
		select {
		case u := <-p.queue:
			for _, command := range slices.Concat(u.Commands, u.After) {
				command.SetErr(goredis.ErrClosed)
			}
			if u.share != nil {
				u.share.err = goredis.ErrClosed
			}
			close(u.Done)
		default:
			return
		}
	}
}

func (p *Batcher) close() {
	p.closing.Do(func() { close(p.end) })
	p.workers.Wait()
	p.refuse()
}
