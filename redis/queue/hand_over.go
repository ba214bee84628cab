package queue

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// A handOver leases a task for a read that waits for it, in the round trip of the publish: the
// commands of the read follow those of the publish. Its methods do nothing when it is nil.
type handOver struct {
	reader *Reader
	waiter *Waiter
	grant  *Grant
}

// findReader picks the waiting read that a task in the stream would wake; nil when there is none,
// or its commands can't go along.
func (p *Publisher) findReader(ctx context.Context, stream string) *handOver {
	waiter, request := p.waiters.Offer(stream)
	if waiter == nil {
		return nil
	}
	grant := p.reader.newGrant(ctx, request)
	if grant == nil {
		waiter.Grant(nil)
		return nil
	}
	return &handOver{p.reader, waiter, grant}
}

// keep is the context of the publish: its caller's end must not cut off what the reader gets.
func (h *handOver) keep(ctx context.Context) context.Context {
	if h == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// commands are those of the read.
func (h *handOver) commands() []goredis.Cmder {
	if h == nil {
		return nil
	}
	return h.grant.commands()
}

// end wakes the reader with what it got, or with the error that kept it from that. added is the
// entry that was published, "" for none. A reader that has left does not get it: then it is returned
// to the queue.
func (h *handOver) end(added string, err error) {
	if h == nil {
		return
	}
	h.grant.added, h.grant.err = added, err
	if !h.waiter.Grant(h.grant) {
		h.reader.ReturnGrant(context.Background(), h.grant)
	}
}
