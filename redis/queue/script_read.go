package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// readMode is what the read script looks for.
type readMode string

const (
	readNew     readMode = "new"   // new tasks
	readExpired readMode = "claim" // tasks whose lease has expired, then new ones
	readOwn     readMode = "own"   // what the consumer holds
)

// readArgs are the arguments of lua/read.lua.
type readArgs struct {
	Queue     string
	Group     string
	Consumer  string
	Max       int
	Lease     time.Duration
	Mode      readMode
	MaxBytes  int
	PerEntry  int
	Fairness  string
	MayCreate string
}

// readReply is the result of lua/read.lua.
type readReply struct {
	Now     time.Time
	Gone    int    // leases whose entry was deleted
	State   string // MORE, PAUSED or ""
	Health  string // CREATED, ABSENT, NO_GROUP, GROUPS or ""
	Entries []leasedEntry
}

func (a *readArgs) run(ctx context.Context, s *conn.Shard) (readReply, error) {
	k := s.Keys
	keys := []string{k.Tasks(a.Queue), k.Paused(a.Queue), k.Tenant().CancelledJobs(), k.Uncounted(a.Queue), k.GroupBegins(a.Queue), k.CreatedGroups(a.Queue)}
	if a.Fairness != "" {
		keys = append(keys, s.FairKeys(a.Queue)...)
	}
	reply, err := conn.ReadScript.Run(ctx, s.Conn, conn.Repeatable, keys, a.Group, a.Consumer, a.Max, a.Lease.Milliseconds(),
		string(a.Mode), a.MaxBytes, a.PerEntry, job.FieldOverhead, a.Fairness, a.MayCreate)
	if err != nil {
		return readReply{}, err
	}
	return a.decode(k.Prefix, reply)
}

// decode reads the script's reply.
func (a *readArgs) decode(prefix string, reply any) (readReply, error) {
	list, ok := reply.([]any)
	if !ok || len(list) < 4 {
		return readReply{}, fmt.Errorf("read: unexpected reply %T", reply)
	}
	r := readReply{Now: time.UnixMilli(job.ParseCell(list[0])), Gone: int(job.ParseCell(list[1])), Entries: make([]leasedEntry, len(list)-4)}
	r.State, _ = list[2].(string)
	r.Health, _ = list[3].(string)
	for i, row := range list[4:] {
		entry, err := decodeEntry(row)
		if err != nil {
			return readReply{}, err
		}
		entry.lease.Prefix, entry.lease.Queue, entry.lease.Group, entry.lease.Consumer = prefix, a.Queue, a.Group, a.Consumer
		r.Entries[i] = entry
	}
	return r, nil
}

// decodeEntry reads an entry of the reply: its id, delivery count, fields, CANCELLED or "", and the
// number of deliveries that don't count.
func decodeEntry(row any) (e leasedEntry, err error) {
	cells, ok := row.([]any)
	if !ok || len(cells) != 5 {
		return e, fmt.Errorf("read: unexpected entry %T", row)
	}
	if e.fields, err = resp.StringList(cells[2]); err != nil {
		return e, fmt.Errorf("read: %w", err)
	}
	e.lease.EntryID, _ = cells[0].(string)
	e.lease.Count = int(job.ParseCell(cells[1]))
	e.isCancelled = cells[3] == conn.VerdictCancelled
	e.uncounted = int(job.ParseCell(cells[4]))
	return e, nil
}
