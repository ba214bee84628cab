package queue

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Settler ends leases: by acknowledgement, by giving the task back, or for entries that can't be
// delivered.
type Settler struct {
	*conn.Shard
	waiters   *Waitlists
	watches   *watch.Subscriptions
	registry  *Registry
	recorder  *result.Recorder
	scheduler *Scheduler
}

// NewSettler returns a settler.
func NewSettler(shard *conn.Shard, waiters *Waitlists, watches *watch.Subscriptions, registry *Registry, recorder *result.Recorder, scheduler *Scheduler) *Settler {
	return &Settler{shard, waiters, watches, registry, recorder, scheduler}
}

// AckOutcome is what became of one token of an Ack.
type AckOutcome string

// The outcomes.
const (
	Acked      AckOutcome = "ACKED"
	NotPending AckOutcome = "NOT_PENDING" // settled before
	LeaseLost  AckOutcome = "LEASE_LOST"  // leased to someone else by now
	Invalid    AckOutcome = "INVALID"     // not a token of this service and tenant
)

// AckResult is the outcome of one token.
type AckResult struct {
	EntryID string // "" when Invalid
	Outcome AckOutcome
}

// Ack settles deliveries without recording a result; one result for each token, in
// their order.
func (s *Settler) Ack(ctx context.Context, tokens []string) ([]AckResult, error) {
	if err := CheckTokens(tokens); err != nil {
		return nil, err
	}
	type line struct{ queue, group string }
	lines := make(map[line][]int)
	leases, results := make([]job.Lease, len(tokens)), make([]AckResult, len(tokens))
	for i, token := range tokens {
		lease, err := s.ParseLease(token)
		if err != nil {
			results[i].Outcome = Invalid
			continue
		}
		leases[i], results[i].EntryID = lease, lease.EntryID
		at := line{lease.Queue, lease.Group}
		lines[at] = append(lines[at], i)
	}
	for _, indexes := range lines {
		some := make([]job.Lease, len(indexes))
		for n, i := range indexes {
			some[n] = leases[i]
		}
		outcomes, err := s.ack(ctx, some)
		if err != nil {
			return nil, err
		}
		for n, i := range indexes {
			if results[i].Outcome = AckOutcome(outcomes[n]); outcomes[n] == "OTHER_JOB" {
				results[i] = AckResult{Outcome: Invalid}
			}
		}
	}
	return results, nil
}

// ack settles leases of one queue and group: a word of the script for each.
func (s *Settler) ack(ctx context.Context, leases []job.Lease) ([]string, error) {
	first := leases[0]
	keys, args := []string{s.Keys.Tasks(first.Queue)}, []any{first.Group, s.Settings.DefaultGroup}
	isUnique := s.QueueSettings(first.Queue).UniqueJobs
	for _, lease := range leases {
		args = append(append(args, lease.Args()...), lease.JobID)
		if isUnique {
			keys = append(keys, s.Keys.Active(lease.JobID))
		}
	}
	outcomes, err := conn.AckScript.Strings(ctx, s.Conn, conn.Repeatable, keys, args...)
	if err != nil {
		return nil, err
	}
	for i, outcome := range outcomes {
		if outcome == string(Acked) {
			s.scheduler.Settled(leases[i])
		}
	}
	return outcomes, nil
}

func CheckTokens(tokens []string) error {
	if len(tokens) == 0 || len(tokens) > job.MaxBatch {
		return job.Invalid("lease_tokens", "has %d entries, want 1 to %d", len(tokens), job.MaxBatch)
	}
	return nil
}

// Extended is a renewed lease.
type Extended struct {
	ExpiresAt time.Time
	// Cancelled: the job was cancelled, or its state says so: nobody waits for it any
	// more.
	Cancelled bool
}

// Extend renews a lease, and writes fields of the job's state in the same step.
// Errors: ErrLeaseToken, ErrLeaseLost; ErrInvalid when the state would become too large: the
// lease is not renewed then.
func (s *Settler) Extend(ctx context.Context, token string, fields map[string]string) (Extended, error) {
	lease, err := s.ParseLease(token)
	if err != nil {
		return Extended{}, err
	}
	if err := job.CheckFields("progress_fields", fields); err != nil {
		return Extended{}, err
	}
	args := append([]any{lease.Group}, lease.Args()...)
	args = append(args, s.Settings.StateTTL.Milliseconds(), lease.JobID, s.Settings.UnfinishedTTL().Milliseconds())
	args = conn.AppendStrings(args, job.Pairs(fields))
	reply, err := conn.ExtendScript.Strings(ctx, s.Conn, conn.Repeatable,
		[]string{s.Keys.Tasks(lease.Queue), s.Keys.State(lease.JobID), s.Keys.CancelledJobs(), s.Keys.Parts(lease.JobID)}, args...)
	if err != nil {
		return Extended{}, err
	}
	switch reply[0] {
	case "OK":
	case "FULL":
		return Extended{}, state.FullError("progress_fields", job.Pairs(fields))
	default:
		return Extended{}, job.NewLeaseError(reply[0])
	}
	if len(fields) > 0 {
		s.watches.StateWritten(lease.JobID)
	}
	now, err := resp.Number(reply[1])
	return Extended{
		ExpiresAt: time.UnixMilli(now).Add(s.QueueSettings(lease.Queue).Lease),
		Cancelled: reply[2] != "",
	}, err
}
