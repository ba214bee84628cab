package redis

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"
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

// unit is what goes out together: commands in their order, or a share of a script call.
type unit struct {
	commands []goredis.Cmder
	share    *share
	after    []goredis.Cmder // behind all others
	done     chan struct{}
}

// share is one caller's part of a script call. The script takes the head's keys and
// arguments, which are the same for all who share the call, and after them the keys and
// arguments of any number of items; it returns a list with perItem elements for each.
type share struct {
	script             *script
	headKeys, headArgs words
	keys, args         words
	perItem            int

	reply []element
	err   error
}

// element is an element of a script's reply: a word or a list of words.
type element struct {
	word string
	list []string
}

// isWith is true of shares that can go into one call.
func (s *share) isWith(other *share) bool {
	return s.script == other.script && slices.Equal(s.headKeys, other.headKeys) && slices.Equal(s.headArgs, other.headArgs)
}

// pipeliner sends units.
type pipeliner struct {
	client  *goredis.Client
	queue   chan *unit
	slots   chan struct{} // one for each pipeline that is on its way
	load    atomic.Int64  // units that are not answered
	end     chan struct{}
	closing sync.Once
	workers sync.WaitGroup
}

func newPipeliner(client *goredis.Client) *pipeliner {
	p := &pipeliner{client: client, queue: make(chan *unit, 1024), slots: make(chan struct{}, pipelines), end: make(chan struct{})}
	for range pipelines {
		p.workers.Go(p.work)
	}
	return p
}

// do sends commands, and waits until they are answered or ctx ends; then they may be sent
// all the same. Errors are in the commands.
func (p *pipeliner) do(ctx context.Context, commands ...goredis.Cmder) error {
	return p.send(ctx, &unit{commands: commands, done: make(chan struct{})})
}

// call has a script do an item, perhaps with others; the commands follow it.
func (p *pipeliner) call(ctx context.Context, s *share, e effect, after ...goredis.Cmder) ([]element, error) {
	if err := p.send(ctx, &unit{share: s, after: after, done: make(chan struct{})}); err != nil {
		return nil, translate(s.script.name, err, e)
	}
	return s.reply, translate(s.script.name, s.err, e)
}

func (p *pipeliner) send(ctx context.Context, u *unit) error {
	defer p.load.Add(-1)
	if p.load.Add(1) <= aloneLoad {
		select {
		case p.slots <- struct{}{}: // hardly anybody to share with, and nobody to wait for
			p.exec(ctx, []*unit{u})
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
	case <-u.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-p.end:
		p.refuse() // it may have come too late for the workers
		<-u.done
		return nil
	}
}

func (p *pipeliner) work() {
	var units []*unit
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
		for n := len(units[0].commands); n < pipelineCommands && len(units) < pipelineCommands; {
			select {
			case u := <-p.queue:
				units = append(units, u)
				n += len(u.commands)
			default:
				break more
			}
		}
		p.exec(context.Background(), units)
		<-p.slots
		for _, u := range units {
			close(u.done)
		}
	}
}

// exec sends units in one pipeline. Their commands and shares have the errors.
func (p *pipeliner) exec(ctx context.Context, units []*unit) {
	pipe := p.client.Pipeline()
	var calls []*sharedCall
	for _, u := range units {
		for _, command := range u.commands {
			_ = pipe.Process(ctx, command)
		}
		if u.share != nil {
			calls = join(calls, u.share)
		}
	}
	for _, c := range calls {
		c.command = command(ctx, c.words(false))
		_ = pipe.Process(ctx, c.command)
	}
	for _, u := range units {
		for _, command := range u.after {
			_ = pipe.Process(ctx, command)
		}
	}
	_, _ = pipe.Exec(ctx)
	for _, c := range calls {
		reply, err := rawReply(c.command)
		if err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") {
			c.command = command(ctx, c.words(true))
			_ = p.client.Process(ctx, c.command)
			reply, err = rawReply(c.command)
		}
		c.deal(reply, err)
	}
}

// sharedCall is a script call of several callers.
type sharedCall struct {
	shares  []*share
	items   int
	command *goredis.RawCmd
}

// join puts a share into a call that has room for it.
func join(calls []*sharedCall, s *share) []*sharedCall {
	for _, c := range calls {
		if c.items < sharedItems && c.shares[0].isWith(s) {
			c.shares, c.items = append(c.shares, s), c.items+1
			return calls
		}
	}
	return append(calls, &sharedCall{shares: []*share{s}, items: 1})
}

// words are those of the call, by the script's hash or with its text.
func (c *sharedCall) words(isWhole bool) words {
	first := c.shares[0]
	keys, args := len(first.headKeys), len(first.headArgs)
	for _, s := range c.shares {
		keys, args = keys+len(s.keys), args+len(s.args)
	}
	w := make(words, 0, 3+keys+args)
	if isWhole {
		w.add("eval", first.script.source)
	} else {
		w.add("evalsha", first.script.sha)
	}
	w.add(strconv.Itoa(keys))
	w.add(first.headKeys...)
	for _, s := range c.shares {
		w.add(s.keys...)
	}
	w.add(first.headArgs...)
	for _, s := range c.shares {
		w.add(s.args...)
	}
	return w
}

// deal gives each caller his part of the reply.
func (c *sharedCall) deal(reply *reply, err error) {
	want := len(c.shares) * c.shares[0].perItem
	if err == nil && reply.list() != want {
		reply.fail("it has another length")
		err = reply.err
	}
	for _, s := range c.shares {
		for range s.perItem {
			if err == nil {
				s.reply = append(s.reply, reply.element())
				err = reply.err
			}
		}
		s.err = err
	}
}

// refuse answers what was queued when the pipeliner was closed.
func (p *pipeliner) refuse() {
	for {
		select {
		case u := <-p.queue:
			for _, command := range slices.Concat(u.commands, u.after) {
				command.SetErr(goredis.ErrClosed)
			}
			if u.share != nil {
				u.share.err = goredis.ErrClosed
			}
			close(u.done)
		default:
			return
		}
	}
}

func (p *pipeliner) close() {
	p.closing.Do(func() { close(p.end) })
	p.workers.Wait()
	p.refuse()
}
