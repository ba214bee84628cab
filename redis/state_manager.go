package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// StateManagerConfig says where states are and how long they are kept.
type StateManagerConfig struct {
	// KeyPrefix stands between the client's prefix and the job's id, as it is; empty means "job_state:".
	KeyPrefix string
	// DefaultTTL is how long a state is kept that a write creates; default 7 days.
	DefaultTTL time.Duration
}

// StateManager keeps job states: one hash of string fields per job. It is safe for concurrent use. All writes
// can be repeated after an error.
//
// A state has at most state.MaxStateFields fields and state.MaxStateBytes bytes: a write that would exceed that
// fails with ErrInvalid and writes nothing.
//
// A write that creates a state gives it DefaultTTL, so that no state stays forever; a write to an existing
// state keeps its TTL.
type StateManager struct {
	client    *Client
	keyPrefix string
	ttl       time.Duration
}

// NewStateManager returns a manager. It sends nothing to Redis.
func NewStateManager(client *Client, config StateManagerConfig) *StateManager {
	if config.KeyPrefix == "" {
		config.KeyPrefix = job.StateFamily + ":"
	}
	if config.DefaultTTL == 0 {
		config.DefaultTTL = job.DefaultStateTTL
	}
	return &StateManager{client: client, keyPrefix: config.KeyPrefix, ttl: config.DefaultTTL}
}

// JobKey returns the key of a job's state as it stands in Redis.
func (s *StateManager) JobKey(jobID string) string { return s.client.PrefixedKey(s.keyPrefix + jobID) }

// InitState creates a job's state. If the state exists, InitState writes the given fields and keeps the
// others. In both cases the state is kept for DefaultTTL from now.
func (s *StateManager) InitState(ctx context.Context, jobID string, fields map[string]string) error {
	_, err := state.Apply(ctx, s.client.conn, s.JobKey(jobID), state.Write{JobID: jobID, Mode: state.ModeMerge, Fields: job.Pairs(fields), DefaultTTL: s.ttl})
	return err
}

// SetField writes one field.
func (s *StateManager) SetField(ctx context.Context, jobID, field, value string) error {
	return s.SetFields(ctx, jobID, map[string]string{field: value})
}

// SetFields writes several fields atomically. Without fields it does nothing.
func (s *StateManager) SetFields(ctx context.Context, jobID string, fields map[string]string) error {
	if len(fields) == 0 {
		return nil
	}
	_, err := state.Apply(ctx, s.client.conn, s.JobKey(jobID), state.Write{JobID: jobID, Mode: state.ModeSet, Fields: job.Pairs(fields), DefaultTTL: s.ttl})
	return err
}

// SetJSON writes a value as JSON. A value without a JSON form is an *ArgumentError.
func (s *StateManager) SetJSON(ctx context.Context, jobID, field string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return job.Invalid(field, "is not a JSON value: %v", err)
	}
	return s.SetField(ctx, jobID, field, string(text))
}

// GetField returns one field. If it is missing, the error is both goredis.Nil, as the driver's, and
// ErrJobNotFound or ErrFieldNotFound, which says what is missing.
func (s *StateManager) GetField(ctx context.Context, jobID, field string) (string, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return "", err
	}
	if !job.IsOwnField(field) {
		value, err := s.client.conn.Commands.HGet(ctx, s.JobKey(jobID), field).Result()
		if !errors.Is(err, goredis.Nil) {
			return value, conn.Translate("get field", err, conn.Repeatable)
		}
	}
	exists, err := s.Exists(ctx, jobID)
	switch {
	case err != nil:
		return "", err
	case !exists:
		return "", fmt.Errorf("%w: %w", job.ErrJobNotFound, goredis.Nil)
	}
	return "", fmt.Errorf("%w: %w", job.ErrFieldNotFound, goredis.Nil)
}

// GetJSON decodes a field that holds JSON into dest. A missing field is an error as for GetField.
func (s *StateManager) GetJSON(ctx context.Context, jobID, field string, dest any) error {
	text, err := s.GetField(ctx, jobID, field)
	if err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(text), dest); err != nil {
		return fmt.Errorf("field %s of job %s: %w", field, jobID, err)
	}
	return nil
}

// GetAllFields returns a job's state, an empty map when it has none.
func (s *StateManager) GetAllFields(ctx context.Context, jobID string) (map[string]string, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return nil, err
	}
	fields, err := s.client.conn.Commands.HGetAll(ctx, s.JobKey(jobID)).Result()
	if err != nil {
		return nil, conn.Translate("get state", err, conn.Repeatable)
	}
	maps.DeleteFunc(fields, func(name, _ string) bool { return job.IsOwnField(name) })
	return fields, nil
}

// SetTTL sets how long a state is kept from now. A missing state is not an error.
func (s *StateManager) SetTTL(ctx context.Context, jobID string, ttl time.Duration) error {
	if err := job.CheckID("job_id", jobID); err != nil {
		return err
	}
	if ttl <= 0 {
		return job.Invalid("ttl", "is %s, want more than 0; use Delete to remove a state", ttl)
	}
	return conn.Translate("set ttl", s.client.conn.Commands.PExpire(ctx, s.JobKey(jobID), ttl).Err(), conn.Repeatable)
}

// Delete removes a state. A missing state is not an error.
func (s *StateManager) Delete(ctx context.Context, jobID string) error {
	if err := job.CheckID("job_id", jobID); err != nil {
		return err
	}
	return conn.Translate("delete state", s.client.conn.Commands.Del(ctx, s.JobKey(jobID)).Err(), conn.Repeatable)
}

// Exists reports whether a job has a state.
func (s *StateManager) Exists(ctx context.Context, jobID string) (bool, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return false, err
	}
	n, err := s.client.conn.Commands.Exists(ctx, s.JobKey(jobID)).Result()
	return n > 0, conn.Translate("look for state", err, conn.Repeatable)
}
