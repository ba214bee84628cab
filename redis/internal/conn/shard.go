package conn

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Shard is one key prefix in one Redis, with the settings of its queues. Every part of a shard has
// it.
type Shard struct {
	*Conn
	Settings job.Settings
	Log      *slog.Logger
	// Owns reports whether a job lies in this shard; nil when there is only one.
	Owns func(jobID string) bool
}

// QueueSettings is how a queue is treated.
func (s *Shard) QueueSettings(queue string) job.QueueSettings {
	return s.Settings.Queues[queue].WithDefaults(s.Settings.Queue)
}

// QueueName returns the queue of a request, the default one for "". It fails with ErrInvalid.
func (s *Shard) QueueName(queue string) (string, error) {
	if queue == "" {
		return s.Settings.DefaultQueue, nil
	}
	return queue, job.CheckQueue("queue", queue)
}

// Fairness is how a queue is fair, as lua/fair.lua takes it; "" when it isn't.
func (s *Shard) Fairness(queue string) string {
	c := s.QueueSettings(queue)
	if c.FairBy == "" {
		return ""
	}
	return string(job.EncodeJSON(map[string]any{"queue": queue, "group": s.Settings.DefaultGroup, "ahead": c.FairAhead,
		"weights": job.NonNilMap(c.FairWeights), "limit": c.FairMaxInFlight, "limits": job.NonNilMap(c.FairMaxInFlightOf)}))
}

// FairKeys are the keys that lua/fair.lua takes.
func (s *Shard) FairKeys(queue string) []string {
	return []string{s.Keys.Backlog(queue), s.Keys.Fair(queue).Ready(), s.Keys.Fair(queue).Parked(), s.Keys.Fair(queue).Tags(),
		s.Keys.Fair(queue).Held(), s.Keys.Tenant().DelayedQueues()}
}

// Fair are the keys and the argument by which a script knows whether a queue is fair.
func (s *Shard) Fair(queue string) ([]string, string) {
	settings := s.Fairness(queue)
	if settings == "" {
		return nil, ""
	}
	return s.FairKeys(queue), settings
}

// QueueNames lists the known queues and those of the settings.
func (s *Shard) QueueNames(ctx context.Context) ([]string, error) {
	names, err := s.Commands.SMembers(ctx, s.Keys.Tenant().Queues()).Result()
	if err != nil {
		return nil, Translate("list queues", err, Repeatable)
	}
	names = append(names, s.Settings.DefaultQueue)
	for name := range s.Settings.Queues {
		names = append(names, name)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// MayCreate is the argument by which the read script knows whether it may create a group.
func (s *Shard) MayCreate(queue, group string) string {
	groups := s.QueueSettings(queue).Groups
	switch {
	case group == s.Settings.DefaultGroup, !groups.IsAny() && slices.Contains(groups, group):
		return "named"
	case groups.IsAny():
		return "any"
	}
	return ""
}

// ParseLease decodes a token and checks that it belongs to this tenant. It fails with ErrLeaseToken.
func (s *Shard) ParseLease(token string) (job.Lease, error) {
	lease, err := job.ParseLease(token)
	if err == nil && lease.Prefix != s.Keys.Prefix {
		return job.Lease{}, fmt.Errorf("%w: it belongs to another tenant", job.ErrLeaseToken)
	}
	return lease, err
}

// NewJobID returns a new id of a job that belongs to this shard.
func (s *Shard) NewJobID() string {
	for {
		id := uuid.Must(uuid.NewV7()).String()
		if s.Owns == nil || s.Owns(id) {
			return id
		}
	}
}

// UniqueTTL is how long the marks of a queue's jobs are kept, ms, "" when its jobs need not be
// unique: what scripts take.
func (s *Shard) UniqueTTL(queue job.QueueSettings) string {
	if !queue.UniqueJobs {
		return ""
	}
	return strconv.FormatInt(s.Settings.UnfinishedTTL().Milliseconds(), 10)
}
