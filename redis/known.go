package redis

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// The set of known queues is what Admin lists and the janitor looks after. Each broker
// adds the queues that it is asked for, and does so again now and then, in case the set
// was lost.
const knowPeriod = 10 * time.Second

// knownQueues is what a broker has seen of its queues. Its zero value is ready.
type knownQueues struct {
	mu     sync.Mutex
	told   map[string]time.Time // when a queue was last added to the set
	groups map[string]bool      // queue and group, that had their stream
}

// due says whether to add a queue to the set now.
func (k *knownQueues) due(queue string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if at, ok := k.told[queue]; ok && now.Sub(at) < knowPeriod {
		return false
	}
	if k.told == nil || len(k.told) >= 10000 {
		k.told = make(map[string]time.Time)
	}
	k.told[queue] = now
	return true
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
	if !b.known.due(queue) {
		return
	}
	if err := b.client.commands.SAdd(context.WithoutCancel(ctx), b.keys.queues(), queue).Err(); err != nil {
		b.log.Debug("could not note a queue", "queue", queue, "error", err)
		b.known.forget(queue)
	}
}

// forget makes the queue due again.
func (k *knownQueues) forget(queue string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.told, queue)
}
