package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// DefaultStateTTL is how long a job's state is kept.
const DefaultStateTTL = 7 * 24 * time.Hour

// StateManagerConfig says where states are and how long they live.
type StateManagerConfig struct {
	// KeyPrefix stands between the client's prefix and the job's id, as it is given; empty
	// means "job_state:".
	KeyPrefix string
	// DefaultTTL is the life of a state that a write creates; default 7 days.
	DefaultTTL time.Duration
}

// StateManager keeps job states: one hash of string fields for each job. It is safe
// for concurrent use. All writes may be repeated.
//
// A state has at most MaxStateFields fields and MaxStateBytes bytes: a write that would
// exceed that is refused as ErrInvalid, and writes nothing.
//
// A write that creates a state gives it DefaultTTL, so that nothing is left to stay
// for ever; a write to an existing state leaves its TTL alone.
type StateManager struct {
	client    *Client
	keyPrefix string
	ttl       time.Duration
}

// NewStateManager makes a manager. Nothing is sent to Redis.
func NewStateManager(client *Client, config StateManagerConfig) *StateManager {
	if config.KeyPrefix == "" {
		config.KeyPrefix = stateFamily + ":"
	}
	if config.DefaultTTL == 0 {
		config.DefaultTTL = DefaultStateTTL
	}
	return &StateManager{client: client, keyPrefix: config.KeyPrefix, ttl: config.DefaultTTL}
}

// JobKey is the key of a job's state as it stands in Redis.
func (s *StateManager) JobKey(jobID string) string { return s.client.PrefixedKey(s.keyPrefix + jobID) }

// InitState creates a job's state. Over a state that exists it writes the fields and keeps
// the others; in both cases the state lives for DefaultTTL from now.
func (s *StateManager) InitState(ctx context.Context, jobID string, fields map[string]string) error {
	_, err := s.write(ctx, stateWrite{jobID: jobID, mode: initMerge, fields: pairs(fields)})
	return err
}

// SetField writes one field.
func (s *StateManager) SetField(ctx context.Context, jobID, field, value string) error {
	return s.SetFields(ctx, jobID, map[string]string{field: value})
}

// SetFields writes several fields in one step; without fields it does nothing.
func (s *StateManager) SetFields(ctx context.Context, jobID string, fields map[string]string) error {
	if len(fields) == 0 {
		return nil
	}
	_, err := s.write(ctx, stateWrite{jobID: jobID, mode: setFields, fields: pairs(fields)})
	return err
}

// SetJSON writes a value as JSON.
func (s *StateManager) SetJSON(ctx context.Context, jobID, field string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return invalid(field, "is not a JSON value: %v", err)
	}
	return s.SetField(ctx, jobID, field, string(text))
}

// GetField reads one field. Where it is missing the error is goredis.Nil, as the driver's
// would be, and says which of the two is: ErrJobNotFound or ErrFieldNotFound.
func (s *StateManager) GetField(ctx context.Context, jobID, field string) (string, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return "", err
	}
	if !isOwnField(field) {
		value, err := s.client.commands.HGet(ctx, s.JobKey(jobID), field).Result()
		if !errors.Is(err, goredis.Nil) {
			return value, translate("get field", err, repeatable)
		}
	}
	exists, err := s.Exists(ctx, jobID)
	switch {
	case err != nil:
		return "", err
	case !exists:
		return "", fmt.Errorf("%w: %w", ErrJobNotFound, goredis.Nil)
	}
	return "", fmt.Errorf("%w: %w", ErrFieldNotFound, goredis.Nil)
}

// GetJSON reads a field that holds JSON into dest; a missing field is as for GetField.
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

// GetAllFields reads a job's state; an empty map when there is none.
func (s *StateManager) GetAllFields(ctx context.Context, jobID string) (map[string]string, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return nil, err
	}
	fields, err := s.client.commands.HGetAll(ctx, s.JobKey(jobID)).Result()
	if err != nil {
		return nil, translate("get state", err, repeatable)
	}
	maps.DeleteFunc(fields, func(name, _ string) bool { return isOwnField(name) })
	return fields, nil
}

// SetTTL changes how long a state is kept. That there is none is no error.
func (s *StateManager) SetTTL(ctx context.Context, jobID string, ttl time.Duration) error {
	if err := CheckID("job_id", jobID); err != nil {
		return err
	}
	if ttl <= 0 {
		return invalid("ttl", "is %s, want more than 0; Delete removes a state", ttl)
	}
	return translate("set ttl", s.client.commands.PExpire(ctx, s.JobKey(jobID), ttl).Err(), repeatable)
}

// Delete removes a state. That there is none is no error.
func (s *StateManager) Delete(ctx context.Context, jobID string) error {
	_, err := s.remove(ctx, jobID)
	return err
}

// remove deletes a state and says whether there was one.
func (s *StateManager) remove(ctx context.Context, jobID string) (bool, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return false, err
	}
	n, err := s.client.commands.Del(ctx, s.JobKey(jobID)).Result()
	return n > 0, translate("delete state", err, repeatable)
}

// Exists says whether a job has a state.
func (s *StateManager) Exists(ctx context.Context, jobID string) (bool, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return false, err
	}
	n, err := s.client.commands.Exists(ctx, s.JobKey(jobID)).Result()
	return n > 0, translate("look for state", err, repeatable)
}

// What a stateWrite does; the words are the script's.
const (
	setFields   = "set"
	initMerge   = "merge"
	initFail    = "fail"
	initKeep    = "keep"
	initReplace = "replace"
)

// stateWrite is a write to a job's state.
type stateWrite struct {
	jobID  string
	mode   string
	ttl    time.Duration // of a state that it creates; 0 for the default
	lease  *Lease        // write only while it is held; nil for no fence
	parts  []string      // of a job whose state it creates
	fields []string      // field, value, …
}

// write runs a stateWrite and says whether it created the state.
func (s *StateManager) write(ctx context.Context, w stateWrite) (created bool, err error) {
	if err := CheckID("job_id", w.jobID); err != nil {
		return false, err
	}
	if len(w.fields) == 0 {
		return false, invalid("fields", "must not be empty")
	}
	if w.ttl == 0 {
		w.ttl = s.ttl
	}
	key := s.JobKey(w.jobID)
	keys, args := []string{key, key, s.client.keys.parts(w.jobID)}, []any{w.mode, w.ttl.Milliseconds()}
	if w.lease != nil {
		keys[1] = s.client.keys.tasks(w.lease.Queue)
		args = append(append(append(args, w.lease.Group), w.lease.args()...), w.lease.JobID)
	} else {
		args = append(args, "", "", "", "", "")
	}
	args = append(args, strings.Join(w.parts, " "), max(s.ttl, unfinishedTTL).Milliseconds())
	code, err := stateScript.word(ctx, s.client, repeatable, keys, appendStrings(args, w.fields)...)
	if err != nil {
		return false, err
	}
	switch code {
	case "EXISTS":
		if w.mode == initKeep {
			return false, nil
		}
		return false, ErrJobExists
	case "FULL":
		return false, stateFull("fields", w.fields)
	case "NOT_PENDING", "LEASE_LOST", "OTHER_JOB":
		return false, leaseError(code)
	}
	return code == "CREATED", nil
}
