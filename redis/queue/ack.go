package queue

import (
	"context"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// AckOutcome is the outcome of one token of an Ack.
type AckOutcome string

// The outcomes.
const (
	Acked      AckOutcome = conn.VerdictAcked
	NotPending AckOutcome = conn.VerdictNotPending // settled before
	LeaseLost  AckOutcome = conn.VerdictLeaseLost  // the task has another lease
	Invalid    AckOutcome = "INVALID"              // not a token of this service and tenant
)

// AckResult is the outcome of one token.
type AckResult struct {
	EntryID string // "" when Invalid
	Outcome AckOutcome
}

// CheckTokens checks the number of tokens of an Ack.
func CheckTokens(tokens []string) error {
	if len(tokens) == 0 || len(tokens) > job.MaxBatch {
		return job.Invalid("lease_tokens", "has %d entries, want 1 to %d", len(tokens), job.MaxBatch)
	}
	return nil
}

// Ack settles deliveries without recording a result. It returns one result for each token, in their
// order.
func (s *Settler) Ack(ctx context.Context, tokens []string) ([]AckResult, error) {
	if err := CheckTokens(tokens); err != nil {
		return nil, err
	}
	results := make([]AckResult, len(tokens))
	leases, indexes := make(map[groupName][]job.Lease), make(map[groupName][]int)
	for i, token := range tokens {
		lease, err := s.ParseLease(token)
		if err != nil {
			results[i].Outcome = Invalid
			continue
		}
		group := groupName{lease.Queue, lease.Group}
		leases[group], indexes[group] = append(leases[group], lease), append(indexes[group], i)
	}
	for group, list := range leases {
		verdicts, err := s.ack(ctx, list)
		if err != nil {
			return nil, err
		}
		for n, i := range indexes[group] {
			if verdicts[n] == conn.VerdictOtherJob {
				results[i].Outcome = Invalid
				continue
			}
			results[i] = AckResult{EntryID: list[n].EntryID, Outcome: AckOutcome(verdicts[n])}
		}
	}
	return results, nil
}

// ack settles leases of one queue and group. It returns a verdict for each.
func (s *Settler) ack(ctx context.Context, leases []job.Lease) ([]string, error) {
	queue := leases[0].Queue
	args := ackArgs{Queue: queue, Group: leases[0].Group, DefaultGroup: s.Settings.DefaultGroup, HasMarks: s.QueueSettings(queue).UniqueJobs, Leases: leases}
	verdicts, err := args.run(ctx, s.Conn)
	if err != nil {
		return nil, err
	}
	for i, verdict := range verdicts {
		if verdict == conn.VerdictAcked {
			s.scheduler.Settled(leases[i])
		}
	}
	return verdicts, nil
}

// ackArgs are the arguments of lua/ack.lua.
type ackArgs struct {
	Queue        string
	Group        string
	DefaultGroup string
	HasMarks     bool // jobs are to be unique
	Leases       []job.Lease
}

// run runs the script. It returns a verdict for each lease.
func (a *ackArgs) run(ctx context.Context, c *conn.Conn) ([]string, error) {
	keys, args := []string{c.Keys.Tasks(a.Queue)}, []any{a.Group, a.DefaultGroup}
	for _, lease := range a.Leases {
		args = append(append(args, lease.Args()...), lease.JobID)
		if a.HasMarks {
			keys = append(keys, c.Keys.Active(lease.JobID))
		}
	}
	return conn.AckScript.Strings(ctx, c, conn.Repeatable, keys, args...)
}
