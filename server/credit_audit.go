package server

import (
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// An audit compares the credit with the leases that Redis knows of the consumer: leases expire,
// other workers take them over, and other calls settle them.

// startAudit reports whether the caller must start the audit: none is running.
func (c *credit) startAudit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	wasAuditing := c.auditing
	c.auditing = true
	return !wasAuditing
}

// endAudit ends the audit of a consumer that holds nothing, and reports whether it did.
func (c *credit) endAudit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.auditing = len(c.outstanding)+c.others > 0
	return !c.auditing
}

// audit compares the count with what the consumer holds. It returns the leases that were lost,
// by token, and their credit. A lease is lost when it is missing twice: one that is being
// settled at this moment is missing once. An incomplete list proves no lease missing.
func (c *credit) audit(held queue.Holding) map[string]job.Lease {
	c.mu.Lock()
	defer c.mu.Unlock()
	lost, own := make(map[string]job.Lease), 0
	for token, o := range c.outstanding {
		switch lease, isListed := held.Leases[queue.Entry{Prefix: o.Prefix, ID: o.EntryID}]; {
		case isListed && lease.Count == o.Count:
			o.missing = false
			if !lease.HasExpired {
				own++
			}
		case !isListed && !held.IsComplete:
			o.missing = false
		case o.missing:
			lost[token] = o.Lease
			delete(c.outstanding, token)
		default:
			o.missing = true
		}
	}
	c.others = max(0, active(held)-own)
	c.signal()
	return lost
}
