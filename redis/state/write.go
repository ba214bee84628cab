package state

import (
	"context"
	"strings"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// What a stateWrite does; the words are the script's.
const (
	ModeSet     = "set"
	ModeMerge   = "merge"
	modeFail    = "fail"
	modeKeep    = "keep"
	modeReplace = "replace"
)

// Write is a write to a job's state.
type Write struct {
	JobID string
	Mode  string
	ttl   time.Duration // of a state that it creates; 0 for the default
	// DefaultTTL is the TTL where ttl is 0. The record of a job's parts is kept as long at least.
	DefaultTTL time.Duration
	lease      *job.Lease // write only while it is held; nil for no fence
	parts      []string   // of a job whose state it creates
	Fields     []string   // field, value, …
}

// Apply runs a stateWrite to the state under a key, and says whether it created the state.
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
	keys, args := []string{key, key, c.Keys.Parts(w.JobID)}, []any{w.Mode, w.ttl.Milliseconds()}
	if w.lease != nil {
		keys[1] = c.Keys.Tasks(w.lease.Queue)
		args = append(append(append(args, w.lease.Group), w.lease.Args()...), w.lease.JobID)
	} else {
		args = append(args, "", "", "", "", "")
	}
	args = append(args, strings.Join(w.parts, " "), max(w.DefaultTTL, job.UnfinishedTTL).Milliseconds())
	code, err := conn.StateScript.Word(ctx, c, conn.Repeatable, keys, conn.AppendStrings(args, w.Fields)...)
	if err != nil {
		return false, err
	}
	switch code {
	case "EXISTS":
		if w.Mode == modeKeep {
			return false, nil
		}
		return false, job.ErrJobExists
	case "FULL":
		return false, FullError("fields", w.Fields)
	case "NOT_PENDING", "LEASE_LOST", "OTHER_JOB":
		return false, job.LeaseError(code)
	}
	return code == "CREATED", nil
}
