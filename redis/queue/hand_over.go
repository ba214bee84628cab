package queue

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// handOver leases a new task for a read that waits, in the round trip of the publish: the commands of a
// grant follow the command that adds the task. The methods of nil do nothing.
type handOver struct {
	reader *Reader
	waiter *Waiter
	grant  *Grant
}

// offer picks the waiting read that a new entry of the stream would wake. nil if there is none, or if
// it needs the script. The caller must call end.
func (pub *Publisher) offer(ctx context.Context, stream string) *handOver {
	waiter, request := pub.waiters.Offer(stream)
	if waiter == nil {
		return nil
	}
	grant := pub.reader.newGrant(ctx, request)
	if grant == nil {
		waiter.Grant(nil)
		return nil
	}
	return &handOver{pub.reader, waiter, grant}
}

// detach is the context for the publish: when the caller's context ends, what was leased for the read
// must not be lost.
func (h *handOver) detach(ctx context.Context) context.Context {
	if h == nil {
		return ctx
	}
	return context.WithoutCancel(ctx)
}

// commands are the commands of the read.
func (h *handOver) commands() []goredis.Cmder {
	if h == nil {
		return nil
	}
	return h.grant.commands()
}

// end wakes the read with its grant, or with the error of sending it. added is the entry that was
// published, "" for none. If the read no longer waits, the grant is returned.
func (h *handOver) end(added string, err error) {
	if h == nil {
		return
	}
	h.grant.added, h.grant.err = added, err
	if !h.waiter.Grant(h.grant) {
		h.reader.ReturnGrant(context.Background(), h.grant)
	}
}
