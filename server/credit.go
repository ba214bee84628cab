package server

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/hikmaai-io/argus-queue/redis"
)

// credit counts what a worker has that is not settled, and so how much more it may get.
type credit struct {
	mu  sync.Mutex
	max int
	// outstanding are the deliveries of this stream, by their tokens.
	outstanding map[string]*outstanding
	// others is what the consumer holds that this stream did not give it.
	others    int
	isAudited bool          // someone compares this with what Redis knows
	stop      func()        // ends the read that goes on with credit that is taken back
	more      chan struct{} // holds one signal that there may be credit
}

// outstanding is a delivery that is not settled.
type outstanding struct {
	redis.Lease
	isMissing bool // it was not pending at the last audit
	isTold    bool // that its job is cancelled
}

func newCredit(max int, held redis.Holding) *credit {
	return &credit{max: max, others: active(held), outstanding: make(map[string]*outstanding), more: make(chan struct{}, 1)}
}

// active counts the leases that have not run out. The others take no credit: a worker that
// comes back under its name would wait for itself, and only a read takes them.
func active(held redis.Holding) int {
	n := 0
	for _, lease := range held.Leases {
		if !lease.HasExpired {
			n++
		}
	}
	return n
}

// wait waits for credit, and says how much there is; false when ctx ended first. What it is
// used for is stopped when there is to be less.
func (c *credit) wait(ctx context.Context, stop func()) (n int, ok bool) {
	for {
		c.mu.Lock()
		c.stop = stop
		n := c.max - len(c.outstanding) - c.others
		c.mu.Unlock()
		if n > 0 {
			return n, ctx.Err() == nil
		}
		select {
		case <-c.more:
		case <-ctx.Done():
			return 0, false
		}
	}
}

// grow says that there may be credit. The caller holds mu.
func (c *credit) grow() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *credit) set(max int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if max < c.max && c.stop != nil {
		c.stop()
	}
	c.max = max
	c.grow()
}

// took notes what was given to the worker.
func (c *credit) took(tokens []string, deliveries []redis.Delivery) {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]outstanding, len(tokens))
	for i, token := range tokens {
		lease := &all[i].Lease
		*lease = deliveries[i].Lease
		// They are kept for long, and share the memory of a whole batch.
		lease.EntryID, lease.JobID = strings.Clone(lease.EntryID), strings.Clone(lease.JobID)
		c.outstanding[token] = &all[i]
	}
}

// settled gives back the credit of deliveries.
func (c *credit) settled(tokens []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, token := range tokens {
		delete(c.outstanding, token)
	}
	c.grow()
}

// audit compares the count with what the consumer really holds. It returns the leases that
// were lost, and gives back their credit. A lease must be missing twice: what is settled in
// this moment is not lost. Nor is one that is just not listed.
func (c *credit) audit(held redis.Holding) map[string]redis.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, own := make(map[string]redis.Lease), 0
	for token, o := range c.outstanding {
		switch lease, isListed := held.Leases[redis.Entry{Prefix: o.Prefix, ID: o.EntryID}]; {
		case isListed && lease.Count == o.Count:
			o.isMissing = false
			if !lease.HasExpired {
				own++
			}
		case !isListed && !held.IsComplete:
			o.isMissing = false
		case o.isMissing:
			lost[token] = o.Lease
			delete(c.outstanding, token)
		default:
			o.isMissing = true
		}
	}
	c.others = max(0, active(held)-own)
	c.grow()
	return lost
}

// toAudit is true when nobody audits yet. The caller must do it.
func (c *credit) toAudit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.isAudited
	c.isAudited = true
	return !was
}

// endAudit ends the audit of a consumer that holds nothing; false when it does.
func (c *credit) endAudit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.isAudited = len(c.outstanding)+c.others > 0
	return !c.isAudited
}

// jobs are the jobs that the worker has and was not told to stop.
func (c *credit) jobs() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	jobs := make(map[string]bool)
	for _, o := range c.outstanding {
		if !o.isTold {
			jobs[o.JobID] = true
		}
	}
	return slices.Collect(maps.Keys(jobs))
}

// cancelled returns the leases of jobs that were cancelled, each once.
func (c *credit) cancelled(jobs []string) map[string]redis.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	found := make(map[string]redis.Lease)
	for token, o := range c.outstanding {
		if !o.isTold && slices.Contains(jobs, o.JobID) {
			o.isTold = true
			found[token] = o.Lease
		}
	}
	return found
}
