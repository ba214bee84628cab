package redis

import (
	"fmt"
	"strconv"
	"time"
)

// batch is what one read script call leased.
type batch struct {
	deliveries []Delivery
	malformed  []malformed
	gone       int // leases whose entry was deleted
}

// malformed is an entry that is no task.
type malformed struct {
	lease  Lease
	reason string
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
	task, m, err := decodeEntry(entryFields(list))
	if size := entrySize(list); err == nil && size > MaxTaskBytes {
		err = fmt.Errorf("%d bytes are more than a delivery can hold", size)
	}
	if err != nil {
		p.malformed = append(p.malformed, malformed{lease, "malformed: " + err.Error()})
		return nil
	}
	lease.JobID = task.JobID
	published := m.publishedAt
	if published.IsZero() {
		if ms, _, ok := splitCursor(lease.EntryID); ok && ms <= maxTime*1000 {
			published = time.UnixMilli(int64(ms))
		}
	}
	p.deliveries = append(p.deliveries, Delivery{Lease: lease, Attempt: m.attempts + lease.Count, PublishedAt: published, Task: task})
	return nil
}

// entryFields makes a map of an entry. A name that stands there twice, which only a raw
// peer can have written, is told apart: "name", "name.2", …
func entryFields(list []string) map[string]string {
	fields := make(map[string]string, len(list)/2)
	for i := 0; i+1 < len(list); i += 2 {
		name := list[i]
		for n := 2; ; n++ {
			if _, twice := fields[name]; !twice {
				break
			}
			name = fmt.Sprintf("%s.%d", list[i], n)
		}
		fields[name] = list[i+1]
	}
	return fields
}

func integer(cell any) int64 {
	text, _ := cell.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}
