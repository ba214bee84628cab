package queue

import (
	"fmt"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// leasedBatch is what one read has leased.
type leasedBatch struct {
	deliveries    []Delivery
	undeliverable []undeliverable
	gone          int  // leases whose entry was deleted
	isFull        bool // there may be more entries
}

// undeliverable is a leased entry that is not delivered to this reader, and what to do with it: it is a
// task for another group, or of a cancelled job, or one that crashed too many workers; or not a task.
type undeliverable struct {
	requeueRequest
	lease job.Lease
	// forGroup is the group that the task is for, and delivery the task. If that group no longer
	// exists, the requeueRequest applies; without an action, the task is delivered.
	forGroup string
	delivery Delivery
}

// leasedEntry is an entry as a read returns it.
type leasedEntry struct {
	lease       job.Lease // without its job
	fields      []string  // field, value, …
	isCancelled bool
	uncounted   int // deliveries that don't count
}

func (e *leasedEntry) checkSize() error {
	if size := job.EntrySize(e.fields); size > job.MaxTaskBytes {
		return fmt.Errorf("%d bytes are more than a delivery can hold", size)
	}
	return nil
}

func (b *leasedBatch) size() int { return len(b.deliveries) + len(b.undeliverable) }

// add decodes an entry, and adds it as a delivery or as undeliverable.
func (b *leasedBatch) add(e leasedEntry, config job.QueueSettings) {
	task, meta, err := job.DecodePairs(e.fields)
	e.lease.JobID = task.JobID
	if err == nil {
		err = e.checkSize()
	}
	if err != nil {
		b.undeliverable = append(b.undeliverable, undeliverable{lease: e.lease,
			requeueRequest: requeueRequest{action: actionLost, cause: CauseMalformed, reason: "malformed: " + err.Error()}})
		return
	}
	d := Delivery{Lease: e.lease, Attempt: meta.Attempts + e.lease.Count - e.uncounted, Failures: meta.Failures, PublishedAt: meta.PublishedAt, Task: task}
	if d.PublishedAt.IsZero() {
		d.PublishedAt = job.EntryTime(e.lease.EntryID)
	}
	u := undeliverable{lease: e.lease, delivery: d}
	switch crashes := d.Attempt - 1 - d.Failures; {
	case e.isCancelled:
		u.action = actionCancelled
	case crashes >= config.MaxCrashes:
		u.action, u.cause = actionLost, CauseMaxCrashes
	}
	if meta.ForGroup != e.lease.Group {
		u.forGroup = meta.ForGroup
	}
	if u.forGroup == "" && u.action == "" {
		b.deliveries = append(b.deliveries, d)
		return
	}
	b.undeliverable = append(b.undeliverable, u)
}

// setExpiry sets when the leases expire.
func (b *leasedBatch) setExpiry(at time.Time) {
	for i := range b.deliveries {
		b.deliveries[i].ExpiresAt = at
	}
	for i := range b.undeliverable {
		b.undeliverable[i].delivery.ExpiresAt = at
	}
}

// hasForeign reports whether the batch has tasks for another group.
func (b *leasedBatch) hasForeign() bool {
	return slices.ContainsFunc(b.undeliverable, func(u undeliverable) bool { return u.forGroup != "" })
}

// adopt turns tasks for a group that is not among groups into tasks for the reader's group.
func (b *leasedBatch) adopt(groups []job.GroupInfo) {
	kept := b.undeliverable[:0]
	for _, u := range b.undeliverable {
		if u.forGroup != "" && !slices.ContainsFunc(groups, func(g job.GroupInfo) bool { return g.Name == u.forGroup }) {
			if u.forGroup = ""; u.action == "" {
				b.deliveries = append(b.deliveries, u.delivery)
				continue
			}
		}
		kept = append(kept, u)
	}
	b.undeliverable = kept
}

// jobs lists the jobs of the deliveries, and of the tasks for another group.
func (b *leasedBatch) jobs() (jobs []string) {
	for _, d := range b.deliveries {
		jobs = append(jobs, d.Lease.JobID)
	}
	for _, u := range b.undeliverable {
		if u.forGroup != "" {
			jobs = append(jobs, u.lease.JobID)
		}
	}
	return jobs
}

// cancel makes tasks undeliverable that were published before their job was cancelled. cancelledAt has
// the times at which jobs were cancelled.
func (b *leasedBatch) cancel(cancelledAt map[string]time.Time) {
	isCancelled := func(d Delivery) bool {
		at, ok := cancelledAt[d.Lease.JobID]
		return ok && at.UnixMilli() >= d.PublishedAt.UnixMilli()
	}
	for i := range b.undeliverable {
		if u := &b.undeliverable[i]; u.forGroup != "" && isCancelled(u.delivery) {
			u.requeueRequest = requeueRequest{action: actionCancelled}
		}
	}
	kept := b.deliveries[:0]
	for _, d := range b.deliveries {
		if isCancelled(d) {
			b.undeliverable = append(b.undeliverable, undeliverable{lease: d.Lease, requeueRequest: requeueRequest{action: actionCancelled}})
			continue
		}
		kept = append(kept, d)
	}
	b.deliveries = kept
}
