package queue

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// knowPeriod is how often a broker adds a queue that it is asked for to the set of known
// queues, which Admin lists and the cleaner looks after, and how often a publish checks that
// the queue is known and that its stream has its consumer groups: either may have been deleted
// since.
const knowPeriod = 10 * time.Second

// warnPeriod is how often a group that nothing reads with is warned of.
const warnPeriod = time.Hour

// ConsumerIdle is how long a consumer that holds nothing is kept.
const ConsumerIdle = time.Hour

// Registry is what this process knows of the shard's queues.
type Registry struct {
	*conn.Shard
	Known *History
	// scans throttles the scans for leases that ran out, sizes knows how large entries are.
	scans expiredScans
	sizes entrySizes
}

// NewRegistry returns a registry that knows nothing.
func NewRegistry(shard *conn.Shard) *Registry {
	return &Registry{Shard: shard, Known: newHistory()}
}

// History is what a broker has seen of its queues.
type History struct {
	Noted   Throttle // additions to the set
	Grouped Throttle // checks for the consumer groups
	Warned  Throttle // warnings of unread groups
	mu      sync.Mutex
	groups  map[string]time.Time // queue and group: when it was there last
}

func newHistory() *History {
	return &History{Noted: Throttle{Period: knowPeriod}, Grouped: Throttle{Period: knowPeriod}, Warned: Throttle{Period: warnPeriod}}
}

// noteHealth takes a read script's word on the health of a group, and tells the log what was
// lost of one that was there before.
func (k *History) noteHealth(log *slog.Logger, queue, group, health string) {
	name := queue + "\x00" + group
	k.mu.Lock()
	defer k.mu.Unlock()
	seen, was := k.groups[name]
	was = was && time.Since(seen) < ConsumerIdle // later the cleaner may have taken it away
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

// Note makes a queue known that a worker reads from. That it can't is no reason to fail.
func (r *Registry) Note(ctx context.Context, queue string) {
	if !r.Known.Noted.Due(queue) {
		return
	}
	if err := r.Add(context.WithoutCancel(ctx), queue); err != nil {
		r.Log.Debug("could not note a queue", "queue", queue, "error", err)
		r.Known.Noted.Forget(queue)
	}
}

// Add makes a queue known; ErrTooManyQueues when it would be one too many.
func (r *Registry) Add(ctx context.Context, queue string) error {
	word, err := conn.KnowScript.Word(ctx, r.Conn, conn.Repeatable, []string{r.Keys.Queues()}, queue, r.Settings.QueueLimit(queue))
	if word == "QUEUES" {
		err = job.ErrTooManyQueues
	}
	return err
}

// SetPaused records whether a queue is paused: then reads go by the script, which leases nothing.
func (r *Registry) SetPaused(queue string, paused bool) { r.sizes.setPaused(queue, paused) }
