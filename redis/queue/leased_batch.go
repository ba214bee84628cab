package queue

import (
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// leasedBatch is what one read leased.
type leasedBatch struct {
	deliveries []Delivery
	unwanted   []undeliverable
	gone       int    // leases whose entry was deleted
	last       string // the newest entry of a read of new ones
	isFull     bool   // there may be more
}

// undeliverable is a leased entry that nobody gets, and what becomes of it: a task that is for
// another group, or of a cancelled job, or that too many workers vanished with; or no
// task at all.
type undeliverable struct {
	lease job.Lease
	requeueRequest
	// forGroup is the group that the task is for, and delivery the task. If that group is no
	// more, giveBack says what becomes of it; without an action it is delivered.
	forGroup string
	delivery Delivery
}

// add takes one row of the read script's reply: {id, delivery count, {field, value, …},
// whether its job was cancelled, uncounted deliveries}.
func (p *leasedBatch) add(row any, lease job.Lease, config job.QueueSettings) error {
	cells, ok := row.([]any)
	if !ok || len(cells) != 5 {
		return fmt.Errorf("read: unexpected row %T", row)
	}
	list, err := resp.StringList(cells[2])
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	lease.EntryID, _ = cells[0].(string)
	lease.Count = int(job.ParseCell(cells[1]))
	p.addEntry(lease, list, cells[3] != "", int(job.ParseCell(cells[4])), config)
	return nil
}

// addEntry takes a leased entry.
func (p *leasedBatch) addEntry(lease job.Lease, list []string, isCancelled bool, uncounted int, config job.QueueSettings) {
	task, m, err := job.DecodePairs(list)
	if size := job.EntrySize(list); err == nil && size > job.MaxTaskBytes {
		err = fmt.Errorf("%d bytes are more than a delivery can hold", size)
	}
	lease.JobID = task.JobID
	if err != nil {
		p.unwanted = append(p.unwanted, undeliverable{lease: lease, requeueRequest: requeueRequest{action: "lost", cause: CauseMalformed, reason: "malformed: " + err.Error()}})
		return
	}
	attempt := m.Attempts + lease.Count - uncounted
	published := m.PublishedAt
	if published.IsZero() {
		published = job.EntryTime(lease.EntryID)
	}
	delivery := Delivery{Lease: lease, Attempt: attempt, Failures: m.Failures, PublishedAt: published, Task: task}
	u := undeliverable{lease: lease, delivery: delivery}
	switch crashes := attempt - 1 - m.Failures; {
	case isCancelled:
		u.requeueRequest = requeueRequest{action: "cancelled"}
	case crashes >= config.MaxCrashes:
		u.requeueRequest = requeueRequest{action: "lost", cause: CauseMaxCrashes}
	}
	if m.ForGroup != lease.Group {
		u.forGroup = m.ForGroup
	}
	if u.forGroup == "" && u.action == "" {
		p.deliveries = append(p.deliveries, delivery)
		return
	}
	p.unwanted = append(p.unwanted, u)
}

// expireAt says when the leases run out.
func (p *leasedBatch) expireAt(at time.Time) {
	for i := range p.deliveries {
		p.deliveries[i].ExpiresAt = at
	}
	for i := range p.unwanted {
		p.unwanted[i].delivery.ExpiresAt = at
	}
}
