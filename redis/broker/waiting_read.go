package broker

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// waitingRead waits for tasks in all shards at a time.
type waitingRead struct {
	set     *shardSet
	signal  *notify.Signal
	waiters []*queue.Waiter // by shard
}

// enqueue adds a read to the waitlists of all shards. The caller must call leave.
func (s *shardSet) enqueue(r queue.ReadRequest) *waitingRead {
	w := &waitingRead{s, notify.NewSignal(), make([]*queue.Waiter, len(s.shards))}
	for i, s := range s.shards {
		w.waiters[i] = s.waiters.Enqueue(s.Keys.Tasks(r.Queue), r.Group, w.signal)
	}
	return w
}

// accept lets a publisher lease what the read requests on its behalf, until the read next looks.
func (w *waitingRead) accept(r *queue.ReadRequest) {
	for _, waiter := range w.waiters {
		waiter.Accept(r)
	}
}

// notified lists where to look: the shard in which the read was granted something comes first, so
// that there is room for it.
func (w *waitingRead) notified() (look []place) {
	first := w.set.any()
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

// leave ends the wait. What a publisher has leased for the read meanwhile is given back.
func (w *waitingRead) leave(ctx context.Context) {
	for i, waiter := range w.waiters {
		waiter.Leave()
		if grant := waiter.Take(); grant != nil {
			w.set.shards[i].reader.ReturnGrant(ctx, grant)
		}
	}
}
