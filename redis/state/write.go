package state

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Mode is what a Write does; the words are those of lua/state.lua.
type Mode string

// The modes.
const (
	ModeSet     Mode = "set"   // writes fields
	ModeMerge   Mode = "merge" // writes fields, and the TTL begins again
	modeFail    Mode = "fail"
	modeKeep    Mode = "keep"
	modeReplace Mode = "replace"
)

// Write is a write to a job's state.
type Write struct {
	JobID string
	Mode  Mode
	ttl   time.Duration // of a state that it creates; 0 for the default
	// DefaultTTL is the TTL where ttl is 0. The record of a job's parts is kept as long at least.
	DefaultTTL time.Duration
	lease      *job.Lease // write only while it is held; nil for no fence
	parts      []string   // of a job whose state it creates
	Fields     []string   // field, value, …
}

// Apply applies a write to the state under a key, and reports whether it created the state. Errors: ErrInvalid,
// also when the state would become too large; ErrJobExists; ErrLeaseLost and ErrLeaseToken under a lease.
// After these nothing was written.
func Apply(ctx context.Context, c *conn.Conn, key string, w Write) (created bool, err error) {
	if err := job.CheckID("job_id", w.JobID); err != nil {
		return false, err
	}
	if len(w.Fields) == 0 {
		return false, job.Invalid("fields", "must not be empty")
	}
	if w.ttl == 0 {
		w.ttl = w.DefaultTTL
	}
	verdict, err := runState(ctx, c, stateArgs{State: key, Record: c.Keys.Parts(w.JobID), Mode: w.Mode, TTL: w.ttl, Lease: w.lease,
		Parts: w.parts, RecordTTL: max(w.DefaultTTL, job.MinUnfinishedTTL), Fields: w.Fields})
	if err != nil {
		return false, err
	}
	switch verdict {
	case conn.VerdictCreated:
		return true, nil
	case conn.VerdictWritten:
		return false, nil
	case conn.VerdictExists:
		if w.Mode == modeKeep {
			return false, nil
		}
		return false, job.ErrJobExists
	case conn.VerdictFull:
		return false, FullError("fields", w.Fields)
	}
	return false, job.NewLeaseError(verdict)
}

// FullError is the error of a write of field, value, … that would make a state too large. It
// names the largest of the fields.
func FullError(field string, fields []string) error {
	largest := 0
	for i := 0; i+1 < len(fields); i += 2 {
		if len(fields[i+1]) > len(fields[largest+1]) {
			largest = i
		}
	}
	return job.Invalid(fmt.Sprintf("%s[%q]", field, job.Clip(fields[largest])),
		"would make the job's state larger than %d fields or %d bytes; nothing was written: store large values elsewhere and write their addresses, or replace the state",
		MaxFields, MaxBytes)
}

// stateArgs are the arguments of lua/state.lua, under the names that its header gives them.
type stateArgs struct {
	State  string // key
	Record string // key

	Mode      Mode
	TTL       time.Duration
	Lease     *job.Lease // group, id, consumer, count and job; nil for none
	Parts     []string
	RecordTTL time.Duration
	Fields    []string // field, value, …
}

// runState runs the state script, and returns its verdict.
func runState(ctx context.Context, c *conn.Conn, a stateArgs) (verdict string, err error) {
	keys := []string{a.State, a.State, a.Record}
	var lease job.Lease
	count := ""
	if a.Lease != nil {
		lease, count = *a.Lease, fmt.Sprint(a.Lease.Count)
		keys[1] = c.Keys.Tasks(lease.Queue)
	}
	args := make(resp.Command, 0, 9+len(a.Fields))
	args.Add(string(a.Mode))
	args.Number(a.TTL.Milliseconds())
	args.Add(lease.Group, lease.EntryID, lease.Consumer, count, lease.JobID, strings.Join(a.Parts, " "))
	args.Number(a.RecordTTL.Milliseconds())
	args.Add(a.Fields...)
	return conn.StateScript.Word(ctx, c, conn.Repeatable, keys, conn.AppendStrings(nil, args)...)
}
