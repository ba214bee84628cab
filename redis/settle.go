package redis

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// lease reads a token and checks that it is of this tenant.
func (b *Broker) parseLease(token string) (Lease, error) {
	lease, err := ParseLease(token)
	if err == nil && lease.Prefix != b.keys.prefix {
		return Lease{}, fmt.Errorf("%w: it belongs to another tenant", ErrLeaseToken)
	}
	return lease, err
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
func (b *Broker) Ack(ctx context.Context, tokens []string) ([]AckResult, error) {
	if err := checkTokens(tokens); err != nil {
		return nil, err
	}
	type line struct{ queue, group string }
	lines := make(map[line][]int)
	leases, results := make([]Lease, len(tokens)), make([]AckResult, len(tokens))
	for i, token := range tokens {
		lease, err := b.parseLease(token)
		if err != nil {
			results[i].Outcome = Invalid
			continue
		}
		leases[i], results[i].EntryID = lease, lease.EntryID
		at := line{lease.Queue, lease.Group}
		lines[at] = append(lines[at], i)
	}
	for _, indexes := range lines {
		some := make([]Lease, len(indexes))
		for n, i := range indexes {
			some[n] = leases[i]
		}
		outcomes, err := b.ack(ctx, some)
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
func (b *Broker) ack(ctx context.Context, leases []Lease) ([]string, error) {
	first := leases[0]
	keys, args := []string{b.keys.tasks(first.Queue)}, []any{first.Group, b.config.DefaultGroup}
	isUnique := b.queueConfig(first.Queue).UniqueJobs
	for _, lease := range leases {
		args = append(append(args, lease.args()...), lease.JobID)
		if isUnique {
			keys = append(keys, b.keys.active(lease.JobID))
		}
	}
	outcomes, err := ackScript.strings(ctx, b.client, repeatable, keys, args...)
	if err != nil {
		return nil, err
	}
	for i, outcome := range outcomes {
		if outcome == string(Acked) {
			b.settled(leases[i])
		}
	}
	return outcomes, nil
}

func checkTokens(tokens []string) error {
	if len(tokens) == 0 || len(tokens) > MaxBatch {
		return invalid("lease_tokens", "has %d entries, want 1 to %d", len(tokens), MaxBatch)
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
func (b *Broker) Extend(ctx context.Context, token string, fields map[string]string) (Extended, error) {
	lease, err := b.parseLease(token)
	if err != nil {
		return Extended{}, err
	}
	if err := CheckFields("progress_fields", fields); err != nil {
		return Extended{}, err
	}
	args := append([]any{lease.Group}, lease.args()...)
	args = append(args, b.config.StateTTL.Milliseconds(), lease.JobID, b.config.unfinishedTTL().Milliseconds())
	args = appendStrings(args, pairs(fields))
	reply, err := extendScript.strings(ctx, b.client, repeatable,
		[]string{b.keys.tasks(lease.Queue), b.keys.state(lease.JobID), b.keys.cancelledJobs(), b.keys.parts(lease.JobID)}, args...)
	if err != nil {
		return Extended{}, err
	}
	switch reply[0] {
	case "OK":
	case "FULL":
		return Extended{}, stateFull("progress_fields", pairs(fields))
	default:
		return Extended{}, leaseError(reply[0])
	}
	if len(fields) > 0 {
		b.ringState(lease.JobID)
	}
	now, err := number(reply[1])
	return Extended{
		ExpiresAt: time.UnixMilli(now).Add(b.queueConfig(lease.Queue).Lease),
		Cancelled: reply[2] != "",
	}, err
}

// pairs lists a map as name, value, … in the order of the names.
func pairs(fields map[string]string) []string {
	return appendPairs(make([]string, 0, 2*len(fields)), fields)
}

// appendPairs appends a map as name, value, … in the order of the names.
func appendPairs(list []string, fields map[string]string) []string {
	var space [16]string
	names := space[:0]
	for name := range fields {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		list = append(list, name, fields[name])
	}
	return list
}
