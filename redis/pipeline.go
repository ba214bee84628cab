package redis

import (
	"context"
	"sync"

	goredis "github.com/redis/go-redis/v9"
)

// Concurrent commands share round trips: whatever was called while the pipelines were on
// their way goes out with the next one. A command that comes alone does not wait for
// others. (Natural batching: the busier, the larger.)
const (
	// pipelines is how many are on their way at a time.
	pipelines = 3
	// pipelineCommands is how many commands one takes, at least.
	pipelineCommands = 128
)

// unit are commands that go out together, in their order.
type unit struct {
	commands []goredis.Cmder
	done     chan struct{}
}

// pipeliner sends units.
type pipeliner struct {
	client  *goredis.Client
	queue   chan *unit
	end     chan struct{}
	workers sync.WaitGroup
}

func newPipeliner(client *goredis.Client) *pipeliner {
	p := &pipeliner{client: client, queue: make(chan *unit, 1024), end: make(chan struct{})}
	for range pipelines {
		p.workers.Go(p.work)
	}
	return p
}

// do sends commands, and waits until they are answered or ctx ends; then they may be sent
// all the same. Errors are in the commands.
func (p *pipeliner) do(ctx context.Context, commands ...goredis.Cmder) error {
	u := &unit{commands: commands, done: make(chan struct{})}
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
		pipe := p.client.Pipeline()
		n := p.add(pipe, units[0])
	more:
		for n < pipelineCommands {
			select {
			case u := <-p.queue:
				units = append(units, u)
				n += p.add(pipe, u)
			default:
				break more
			}
		}
		_, _ = pipe.Exec(context.Background()) // the commands have the errors
		for _, u := range units {
			close(u.done)
		}
	}
}

func (p *pipeliner) add(pipe goredis.Pipeliner, u *unit) int {
	for _, command := range u.commands {
		_ = pipe.Process(context.Background(), command)
	}
	return len(u.commands)
}

// refuse answers what was queued when the pipeliner was closed.
func (p *pipeliner) refuse() {
	for {
		select {
		case u := <-p.queue:
			for _, command := range u.commands {
				command.SetErr(goredis.ErrClosed)
			}
			close(u.done)
		default:
			return
		}
	}
}

func (p *pipeliner) close() {
	close(p.end)
	p.workers.Wait()
	p.refuse()
}
