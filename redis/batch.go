package redis

import (
	"fmt"
	"strconv"
	"time"
)

// batch is what one read leased.
type batch struct {
	deliveries []Delivery
	unwanted   []unwanted
	gone       int    // leases whose entry was deleted
	last       string // the newest entry of a read of new ones
	isFull     bool   // there may be more
}

// unwanted is a leased entry that nobody gets, and what becomes of it: a task that is for
// another group, or of a cancelled job, or that too many workers vanished with; or no
// task at all.
type unwanted struct {
	lease Lease
	giveBack
	// forGroup is the group that the task is for, and delivery the task. If that group is no
	// more, giveBack says what becomes of it; without an action it is delivered.
	forGroup string
	delivery Delivery
}

// add takes one row of the read script's reply: {id, delivery count, {field, value, …},
// whether its job was cancelled, uncounted deliveries}.
func (p *batch) add(row any, lease Lease, config QueueConfig) error {
	cells, ok := row.([]any)
	if !ok || len(cells) != 5 {
		return fmt.Errorf("read: unexpected row %T", row)
	}
	list, err := stringList(cells[2])
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	lease.EntryID, _ = cells[0].(string)
	lease.Count = int(integer(cells[1]))
	p.addEntry(lease, list, cells[3] != "", int(integer(cells[4])), config)
	return nil
}

// addEntry takes a leased entry.
func (p *batch) addEntry(lease Lease, list []string, isCancelled bool, uncounted int, config QueueConfig) {
	task, m, err := decodeList(distinct(list))
	if size := entrySize(list); err == nil && size > MaxTaskBytes {
		err = fmt.Errorf("%d bytes are more than a delivery can hold", size)
	}
	lease.JobID = task.JobID
	if err != nil {
		p.unwanted = append(p.unwanted, unwanted{lease: lease, giveBack: giveBack{action: "lost", cause: CauseMalformed, reason: "malformed: " + err.Error()}})
		return
	}
	attempt := m.attempts + lease.Count - uncounted
	published := m.publishedAt
	if published.IsZero() {
		published = entryTime(lease.EntryID)
	}
	delivery := Delivery{Lease: lease, Attempt: attempt, Failures: m.failures, PublishedAt: published, Task: task}
	u := unwanted{lease: lease, delivery: delivery}
	switch crashes := attempt - 1 - m.failures; {
	case isCancelled:
		u.giveBack = giveBack{action: "cancelled"}
	case crashes >= config.MaxCrashes:
		u.giveBack = giveBack{action: "lost", cause: CauseMaxCrashes}
	}
	if m.forGroup != lease.Group {
		u.forGroup = m.forGroup
	}
	if u.forGroup == "" && u.action == "" {
		p.deliveries = append(p.deliveries, delivery)
		return
	}
	p.unwanted = append(p.unwanted, u)
}

// expireAt says when the leases run out.
func (p *batch) expireAt(at time.Time) {
	for i := range p.deliveries {
		p.deliveries[i].ExpiresAt = at
	}
	for i := range p.unwanted {
		p.unwanted[i].delivery.ExpiresAt = at
	}
}

// distinct tells names apart that stand in an entry twice, which only a raw peer can have
// written: "name", "name.2", …
func distinct(list []string) []string {
	isTwice := func(i int) bool {
		for j := 0; j < i; j += 2 {
			if list[j] == list[i] {
				return true
			}
		}
		return false
	}
	if len(list) > 64 { // a map is faster, and any order will do
		return distinctMany(list)
	}
	for i := 2; i+1 < len(list); i += 2 {
		if isTwice(i) {
			return distinctMany(list)
		}
	}
	return list
}

func distinctMany(list []string) []string {
	fields := entryFields(list)
	list = make([]string, 0, 2*len(fields))
	for name, value := range fields {
		list = append(list, name, value)
	}
	return list
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
