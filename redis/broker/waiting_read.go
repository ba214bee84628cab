package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// waitingRead waits for tasks in all shards with one signal. The signal admits one grant at a time:
// a second one would only have to be returned.
type waitingRead struct {
	set     *shardSet
	signal  *notify.Signal
	waiters []*queue.Waiter // by shard
}

// enqueue adds a read to the waitlists of all shards. The caller must call leave.
func (s *shardSet) enqueue(r queue.ReadRequest) *waitingRead {
	w := &waitingRead{s, notify.NewSignal(), make([]*queue.Waiter, len(s.shards))}
	for i, shard := range s.shards {
		w.waiters[i] = shard.waiters.Enqueue(shard.Keys.Tasks(r.Queue), r.Group, w.signal)
	}
	return w
}

// accept lets a publisher lease what the read requests on its behalf, until the read next looks.
func (w *waitingRead) accept(r *queue.ReadRequest) {
	for _, waiter := range w.waiters {
		waiter.Accept(r)
	}
}

// notified lists the shards to look into. The one with a grant comes first, so that the read has room
// for it.
func (w *waitingRead) notified() (look []place) {
	first := w.set.nextIndex()
	for i := range w.waiters {
		at := (first + i) % len(w.waiters)
		if !w.waiters[at].Consume() {
			continue
		}
		p := place{w.set.shards[at], w.waiters[at].Take()}
		if look = append(look, p); p.grant != nil {
			look[0], look[len(look)-1] = look[len(look)-1], look[0]
		}
	}
	return look
}

// leave ends the wait. A grant that the read did not take is returned to its queue.
func (w *waitingRead) leave(ctx context.Context) {
	for i, waiter := range w.waiters {
		waiter.Leave()
		if grant := waiter.Take(); grant != nil {
			w.set.shards[i].reader.ReturnGrant(ctx, grant)
		}
	}
}
