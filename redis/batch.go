package redis

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// batch is what one read script call leased.
type batch struct {
	deliveries []Delivery
	sizes      []int
	malformed  []malformed
	gone       int // leases whose entry was deleted
}

// malformed is an entry that is no task.
type malformed struct {
	lease  Lease
	reason string
}

// split cuts off what would make the answer larger than MaxTaskBytes. One delivery
// stays in any case: an entry too large by itself was found malformed.
func (p *batch) split() (surplus []Delivery) {
	total := 0
	for i, size := range p.sizes {
		if total += size; total > MaxTaskBytes && i > 0 {
			surplus = append(surplus, p.deliveries[i:]...)
			p.deliveries = p.deliveries[:i:i]
			break
		}
	}
	return surplus
}

// add takes one row of the read script's reply: {id, delivery count, {field, value, …}}.
func (p *batch) add(row any, lease Lease) error {
	cells, ok := row.([]any)
	if !ok || len(cells) != 3 {
		return fmt.Errorf("read: unexpected row %T", row)
	}
	list, err := stringList(cells[2])
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	lease.EntryID, _ = cells[0].(string)
	lease.Count = int(integer(cells[1]))
	fields, size := make(map[string]string, len(list)/2), deliveryOverhead+2*(len(lease.Queue)+len(lease.Group)+len(lease.Consumer))
	for i := 0; i+1 < len(list); i += 2 {
		fields[list[i]] = list[i+1]
		size += len(list[i]) + len(list[i+1])
	}
	task, m, err := decodeEntry(fields)
	switch {
	case err == nil && size > MaxTaskBytes:
		err = fmt.Errorf("%d bytes are more than a delivery can hold", size)
	case err == nil && len(list)/2 > maxEntryFields:
		err = fmt.Errorf("%d fields are more than a delivery can hold", len(list)/2)
	}
	if err != nil {
		p.malformed = append(p.malformed, malformed{lease, "malformed: " + err.Error()})
		return nil
	}
	lease.JobID = task.JobID
	published := m.publishedAt
	if published.IsZero() {
		ms, _, _ := strings.Cut(lease.EntryID, "-")
		first, _ := number(ms)
		published = time.UnixMilli(first)
	}
	p.deliveries = append(p.deliveries, Delivery{Lease: lease, Attempt: m.attempts + lease.Count, PublishedAt: published, Task: task})
	p.sizes = append(p.sizes, size)
	return nil
}

// deliveryOverhead is what a delivery's other fields take in an answer, the names in its
// token apart.
const deliveryOverhead = 256

// maxEntryFields is how many fields a raw peer's task may have.
const maxEntryFields = 1024

func integer(cell any) int64 {
	text, _ := cell.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
