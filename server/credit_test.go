package server

import (
	"fmt"
	"testing"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// holding returns the leases of a consumer, by entry.
func holding(isComplete bool, leases map[string]queue.HeldLease) queue.Holding {
	held := queue.Holding{Leases: make(map[queue.Entry]queue.HeldLease), IsComplete: isComplete}
	for id, lease := range leases {
		held.Leases[queue.Entry{ID: id}] = lease
	}
	return held
}

// free returns the credit.
func (c *credit) free() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.max - len(c.outstanding) - c.others
}

func TestExpiredLeasesTakeNoCredit(t *testing.T) {
	t.Parallel()
	held := holding(true, map[string]queue.HeldLease{"1-0": {Count: 1}, "2-0": {Count: 1, HasExpired: true}})
	c := newCredit(2, held)
	if c.free() != 1 {
		t.Errorf("credit %d at the start, want 1", c.free())
	}
	c.audit(holding(true, map[string]queue.HeldLease{"1-0": {Count: 1, HasExpired: true}, "2-0": {Count: 1, HasExpired: true}}))
	if c.free() != 2 {
		t.Errorf("credit %d after an audit, want 2", c.free())
	}
	// A delivery of this stream counts until it is settled, even if its lease expires.
	c.deliver([]string{"token"}, []queue.Delivery{{Lease: job.Lease{EntryID: "3-0", Count: 1}}})
	for range 3 {
		if lost := c.audit(holding(true, map[string]queue.HeldLease{"3-0": {Count: 1, HasExpired: true}})); len(lost) != 0 || c.free() != 1 {
			t.Errorf("lost %v, credit %d after its own lease expired; want none lost and 1", lost, c.free())
		}
	}
}

func TestLeasesThatAreNotListedAreNotLost(t *testing.T) {
	t.Parallel()
	c := newCredit(10, queue.Holding{})
	c.deliver([]string{"token"}, []queue.Delivery{{Lease: job.Lease{EntryID: "9-0", Count: 1}}})
	listed := make(map[string]queue.HeldLease)
	for i := range 5 {
		listed[fmt.Sprintf("%d-0", i+1)] = queue.HeldLease{Count: 1}
	}
	for range 3 {
		if lost := c.audit(holding(false, listed)); len(lost) != 0 {
			t.Fatalf("lost %v after an incomplete list, want none", lost)
		}
	}
	c.audit(holding(true, listed))
	if lost := c.audit(holding(true, listed)); len(lost) != 1 {
		t.Errorf("lost %v after two complete lists without the lease, want it", lost)
	}
}
