package redis

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"
)

// knowPeriod is how often a broker adds a queue that it is asked for to the set of known
// queues, which Admin lists and the cleaner looks after, and how often a publish checks that
// the queue is known and that its stream has its consumer groups: either may have been deleted
// since.
const knowPeriod = 10 * time.Second

// knownQueues is what a broker has seen of its queues.
type knownQueues struct {
	noted   throttle // additions to the set
	grouped throttle // checks for the consumer groups
	warned  throttle // warnings of unread groups
	mu      sync.Mutex
	groups  map[string]time.Time // queue and group: when it was there last
}

func newKnownQueues() *knownQueues {
	return &knownQueues{noted: throttle{period: knowPeriod}, grouped: throttle{period: knowPeriod}, warned: throttle{period: warnPeriod}}
}

// line takes a read script's word on the health of a group, and tells the log what was
// lost of one that was there before.
func (k *knownQueues) line(log *slog.Logger, queue, group, health string) {
	name := queue + "\x00" + group
	k.mu.Lock()
	defer k.mu.Unlock()
	seen, was := k.groups[name]
	was = was && time.Since(seen) < consumerIdle // later the cleaner may have taken it away
	if k.groups == nil || len(k.groups) >= 10000 {
		k.groups = make(map[string]time.Time)
	}
	if health == "ABSENT" {
		delete(k.groups, name)
	} else {
		k.groups[name] = time.Now()
	}
	switch {
	case !was || health == "":
	case health == "ABSENT":
		log.Error("the queue's stream was deleted: the tasks in it are lost", "queue", queue)
	default:
		log.Error("the consumer group was deleted and is created again: what was leased is delivered again, and so is what was acknowledged without being deleted",
			"queue", queue, "group", group)
	}
}

// noteQueue makes a queue known that a worker reads from. That it can't is no reason to fail.
func (b *Broker) noteQueue(ctx context.Context, queue string) {
	if !b.known.noted.due(queue) {
		return
	}
	if err := b.know(context.WithoutCancel(ctx), queue); err != nil {
		b.log.Debug("could not note a queue", "queue", queue, "error", err)
		b.known.noted.forget(queue)
	}
}

// know makes a queue known; ErrTooManyQueues when it would be one too many.
func (b *Broker) know(ctx context.Context, queue string) error {
	word, err := knowScript.word(ctx, b.client, repeatable, []string{b.keys.queues()}, queue, b.config.mostQueues(queue))
	if word == "QUEUES" {
		err = ErrTooManyQueues
	}
	return err
}

// DefaultMaxQueues is how many queues there may be.
const DefaultMaxQueues = 10_000

// mostQueues is how many queues there may be for this one to be a new one, as the scripts take
// it: any number for those that the settings name.
func (c BrokerConfig) mostQueues(queue string) string {
	if c.isNamed(queue) {
		return ""
	}
	return strconv.Itoa(c.MaxQueues)
}

// isNamed is true of a queue that the settings name.
func (c BrokerConfig) isNamed(queue string) bool {
	_, isNamed := c.Queues[queue]
	return isNamed || queue == c.DefaultQueue
}
