package redis

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// knowPeriod is how often a broker adds a queue that it is asked for to the set of known
// queues, which Admin lists and the cleaner looks after, and how often a publish checks that
// the queue's stream has a consumer group: either may have been deleted since.
const knowPeriod = 10 * time.Second

// knownQueues is what a broker has seen of its queues.
type knownQueues struct {
	noted   throttle // additions to the set
	grouped throttle // checks for a consumer group
	mu      sync.Mutex
	groups  map[string]bool // queue and group, that had their stream
}

func newKnownQueues() *knownQueues {
	return &knownQueues{noted: throttle{period: knowPeriod}, grouped: throttle{period: knowPeriod}}
}

// line takes a read script's word on the health of a group, and tells the log what was
// lost of one that was there before.
func (k *knownQueues) line(log *slog.Logger, queue, group, health string) {
	name := queue + "\x00" + group
	k.mu.Lock()
	defer k.mu.Unlock()
	was := k.groups[name]
	if k.groups == nil || len(k.groups) >= 10000 {
		k.groups = make(map[string]bool)
	}
	k.groups[name] = health != "ABSENT"
	switch {
	case !was || health == "":
	case health == "ABSENT":
		log.Error("the queue's stream was deleted: the tasks in it are lost", "queue", queue)
	default:
		log.Error("the consumer group was deleted and is created again: what was leased is delivered again, and so is what was acknowledged without being deleted",
			"queue", queue, "group", group)
	}
}

// know adds a queue to the set of known queues. That it can't is no reason to fail.
func (b *Broker) know(ctx context.Context, queue string) {
	if !b.known.noted.due(queue) {
		return
	}
	if err := b.client.commands.SAdd(context.WithoutCancel(ctx), b.keys.queues(), queue).Err(); err != nil {
		b.log.Debug("could not note a queue", "queue", queue, "error", err)
		b.known.noted.forget(queue)
	}
}
