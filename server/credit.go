package server

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// credit counts the deliveries that a worker has not settled, and so how many more it may get.
type credit struct {
	mu  sync.Mutex
	max int
	// outstanding are the unsettled deliveries of this stream, by lease token.
	outstanding map[string]*outstanding
	// others counts the leases that the consumer holds beside those of this stream.
	others    int
	auditing  bool          // a goroutine compares the count with Redis
	cancel    func()        // ends the read that uses the credit, when the credit shrinks
	available chan struct{} // holds one signal that there may be credit
}

// outstanding is a delivery that is not settled.
type outstanding struct {
	job.Lease
	missing        bool // it was not pending at the last audit
	cancelNotified bool // the worker knows that its job is cancelled
}

func newCredit(max int, held queue.Holding) *credit {
	return &credit{max: max, others: active(held), outstanding: make(map[string]*outstanding), available: make(chan struct{}, 1)}
}

// active counts the leases that have not expired. Expired ones take no credit: only a read by
// this consumer may take them over, and a worker that comes back under its name would wait for
// itself.
func active(held queue.Holding) int {
	n := 0
	for _, lease := range held.Leases {
		if !lease.HasExpired {
			n++
		}
	}
	return n
}

// wait blocks until there is credit and returns how much, or false when ctx ends. cancel is
// called if the credit shrinks while it is in use.
func (c *credit) wait(ctx context.Context, cancel func()) (n int, ok bool) {
	for {
		c.mu.Lock()
		c.cancel = cancel
		n := c.max - len(c.outstanding) - c.others
		c.mu.Unlock()
		if n > 0 {
			return n, ctx.Err() == nil
		}
		select {
		case <-c.available:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// signal wakes the goroutine in wait. The caller holds mu.
func (c *credit) signal() {
	select {
	case c.available <- struct{}{}:
	default:
	}
}

// setMax changes how many deliveries may be outstanding.
func (c *credit) setMax(max int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if max < c.max && c.cancel != nil {
		c.cancel()
	}
	c.max = max
	c.signal()
}

// deliver takes credit for deliveries, by their tokens.
func (c *credit) deliver(tokens []string, deliveries []queue.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]outstanding, len(tokens))
	for i, token := range tokens {
		lease := &all[i].Lease
		*lease = deliveries[i].Lease
		// Without the copies, one lease that is held for long keeps the memory of its batch.
		lease.EntryID, lease.JobID = strings.Clone(lease.EntryID), strings.Clone(lease.JobID)
		c.outstanding[token] = &all[i]
	}
}

// settle returns the credit of deliveries. Tokens of other streams are ignored.
func (c *credit) settle(tokens []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, token := range tokens {
		delete(c.outstanding, token)
	}
	c.signal()
}

// jobs returns the outstanding jobs whose cancellation the worker does not know.
func (c *credit) jobs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	jobs := make(map[string]bool)
	for _, o := range c.outstanding {
		if !o.cancelNotified {
			jobs[o.JobID] = true
		}
	}
	return slices.Collect(maps.Keys(jobs))
}

// cancelled returns the leases of cancelled jobs, by token, each lease once.
func (c *credit) cancelled(jobs []string) map[string]job.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[string]job.Lease)
	for token, o := range c.outstanding {
		if !o.cancelNotified && slices.Contains(jobs, o.JobID) {
			o.cancelNotified = true
			found[token] = o.Lease
		}
	}
	return found
}
