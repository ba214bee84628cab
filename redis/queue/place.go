package queue

import (
	"strconv"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Where says where a job's task is.
type Where string

// The places.
const (
	WhereWaiting Where = "WAITING" // in its queue; also when its lease has expired
	WhereLeased  Where = "LEASED"  // a worker has it
	WhereDelayed Where = "DELAYED" // it is not due yet
	WhereDead    Where = "DEAD"    // among the dead letters
	WhereNowhere Where = ""        // no task of the job was found
)

// Place is where a job's task is, and why.
type Place struct {
	Where   Where
	Queue   string
	EntryID string // in the stream, or among the dead letters
	// Group and Consumer have the lease, or had it last, until LeaseExpires.
	Group        string
	Consumer     string
	LeaseExpires time.Time
	DueAt        time.Time // of a delayed task
	Attempts     int       // deliveries so far
	Failures     int       // how many of them a worker ended by a requeue
	Cause        string    // of a dead letter
	Reason       string    // why it was requeued or died, as its worker said
	PublishedAt  time.Time
	Task         job.Task

	member string // of the delayed set or of the backlog
}

// Set is the key of the sorted set that the member is in.
func (p Place) Set(k job.Keys) string {
	if p.Where == WhereWaiting {
		return k.Backlog(p.Queue)
	}
	return k.Delayed(p.Queue)
}

// PlaceOf is the place of an entry; false when the entry is not a task.
func PlaceOf(where Where, id string, fields map[string]string) (Place, bool) {
	task, m, err := job.DecodeEntry(fields)
	p := Place{Where: where, EntryID: id, Attempts: m.Attempts, Failures: m.Failures, PublishedAt: m.PublishedAt, Task: task,
		Reason: fields["argus_reason"], Cause: fields["argus_cause"]}
	if p.PublishedAt.IsZero() {
		p.PublishedAt = job.EntryTime(id)
	}
	return p, err == nil
}

// MemberPlace is the place of a member of a delayed set or, WhereWaiting, of a backlog; false when the
// member is not a task.
func MemberPlace(where Where, member string) (Place, bool) {
	var fields []string
	if where == WhereWaiting {
		fields, _ = unpackBacklog(member)
	} else if list, ok := job.Unpack(member); ok {
		fields = list[1:] // the first is a unique id
	}
	p, ok := PlaceOf(where, "", job.EntryFields(fields))
	p.member = member
	return p, ok
}

// unpackBacklog reads a member of a fair queue's backlog, as lua/fair.lua writes it:
// '<length>:<organization> <14 digits><packed entry>'.
func unpackBacklog(member string) ([]string, bool) {
	length, rest, ok := strings.Cut(member, ":")
	n, err := strconv.Atoi(length)
	const sequence = 1 + 14
	if !ok || err != nil || n < 0 || len(rest) < n+sequence {
		return nil, false
	}
	return job.Unpack(rest[n+sequence:])
}
