package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Extended is a renewed lease.
type Extended struct {
	ExpiresAt time.Time
	// Cancelled: the job was cancelled, or its state says so. Its result is not awaited.
	Cancelled bool
}

// Extend renews a lease, and writes fields of the job's state in the same step. Errors: ErrLeaseToken,
// ErrLeaseLost; ErrInvalid when the state would become too large: then the lease is not renewed.
func (s *Settler) Extend(ctx context.Context, token string, fields map[string]string) (Extended, error) {
	lease, err := s.ParseLease(token)
	if err != nil {
		return Extended{}, err
	}
	if err := job.CheckFields("progress_fields", fields); err != nil {
		return Extended{}, err
	}
	args := extendArgs{Lease: lease, StateTTL: s.Settings.StateTTL, PartsTTL: s.Settings.UnfinishedTTL(), Fields: job.Pairs(fields)}
	reply, err := args.run(ctx, s.Conn)
	if err != nil {
		return Extended{}, err
	}
	switch reply.Verdict {
	case conn.VerdictOK:
	case conn.VerdictFull:
		return Extended{}, state.FullError("progress_fields", args.Fields)
	default:
		return Extended{}, job.NewLeaseError(reply.Verdict)
	}
	if len(fields) > 0 {
		s.watches.StateWritten(lease.JobID)
	}
	return Extended{ExpiresAt: reply.Now.Add(s.QueueSettings(lease.Queue).Lease), Cancelled: reply.IsCancelled}, nil
}

// extendArgs are the arguments of lua/extend.lua.
type extendArgs struct {
	Lease    job.Lease
	StateTTL time.Duration
	PartsTTL time.Duration
	Fields   []string // field, value, …
}

// extendReply is the result of lua/extend.lua.
type extendReply struct {
	Verdict     string
	Now         time.Time // of OK
	IsCancelled bool      // of OK
}

func (a *extendArgs) run(ctx context.Context, c *conn.Conn) (r extendReply, err error) {
	jobID := a.Lease.JobID
	keys := []string{c.Keys.Tasks(a.Lease.Queue), c.Keys.State(jobID), c.Keys.Tenant().CancelledJobs(), c.Keys.Parts(jobID)}
	args := append([]any{a.Lease.Group}, a.Lease.Args()...)
	args = append(args, a.StateTTL.Milliseconds(), jobID, a.PartsTTL.Milliseconds())
	words, err := conn.ExtendScript.Strings(ctx, c, conn.Repeatable, keys, conn.AppendStrings(args, a.Fields)...)
	if err != nil {
		return r, err
	}
	if r.Verdict = words[0]; r.Verdict != conn.VerdictOK {
		return r, nil
	}
	now, err := resp.Number(words[1])
	if err != nil {
		return r, fmt.Errorf("extend: unexpected reply %q", words)
	}
	r.Now, r.IsCancelled = time.UnixMilli(now), words[2] == conn.VerdictCancelled
	return r, nil
}
