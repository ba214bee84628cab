package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// Store reads and writes the states of jobs.
type Store struct {
	*conn.Shard
	results *result.Lookup
	watches result.Watches
}

// NewStore returns a store.
func NewStore(shard *conn.Shard, results *result.Lookup, watches result.Watches) *Store {
	return &Store{shard, results, watches}
}

// OnConflict is what Init does when the job has a state already.
type OnConflict Mode

// What Init can do.
const (
	ConflictFail    = OnConflict(modeFail)    // ErrJobExists
	ConflictKeep    = OnConflict(modeKeep)    // the state stays as it is
	ConflictReplace = OnConflict(modeReplace) // the new state replaces it
)

// InitRequest creates a job's state.
type InitRequest struct {
	JobID string
	job.InitialState
	OnConflict OnConflict // default ConflictFail
}

// Init creates a job's state; its status is pending unless the fields say
// otherwise. created is true when the job had none.
func (s *Store) Init(ctx context.Context, r InitRequest) (created bool, err error) {
	if err := errors.Join(job.CheckTTL("ttl", r.TTL), job.CheckFields("fields", r.Fields), job.CheckParts("parts", r.Parts)); err != nil {
		return false, err
	}
	if r.OnConflict == "" {
		r.OnConflict = ConflictFail
	}
	return s.write(ctx, Write{JobID: r.JobID, Mode: Mode(r.OnConflict), ttl: r.TTL, Fields: r.Flat(), parts: r.Parts})
}

// Set writes fields of a job's state. With a token, only while that lease of the
// job's task is held: else ErrLeaseLost. ErrInvalid when the state would become too large.
func (s *Store) Set(ctx context.Context, jobID string, fields map[string]string, token string) error {
	w := Write{JobID: jobID, Mode: ModeSet, Fields: job.Pairs(fields)}
	if err := errors.Join(job.CheckID("job_id", jobID), job.CheckFields("fields", fields)); err != nil {
		return err
	}
	if token != "" {
		lease, err := s.ParseLease(token)
		if err == nil && lease.JobID != jobID {
			err = fmt.Errorf("%w: it is for another job", job.ErrLeaseToken)
		}
		if err != nil {
			return err
		}
		w.lease = &lease
	}
	_, err := s.write(ctx, w)
	return err
}

// write applies a write, and notifies watches of it. They are notified after an error, too: the state may
// have been written.
func (s *Store) write(ctx context.Context, w Write) (created bool, err error) {
	defer s.watches.StateWritten(w.JobID)
	w.DefaultTTL = s.Settings.StateTTL
	return Apply(ctx, s.Conn, s.Keys.State(w.JobID), w)
}

// State is a job's state.
type State struct {
	Fields map[string]string
	Status job.Status
	// TTL is how long the state is still kept; negative when it does not expire.
	TTL time.Duration
}

// Get reads a job's state: the named fields that exist, or all when none is
// named. The status is that of the job's result if it has one, whatever a raw worker left in
// the state. ErrJobNotFound when the job has no state, ErrStateTooLarge when a raw peer made it
// too large to be read.
func (s *Store) Get(ctx context.Context, jobID string, names []string) (State, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return State{}, err
	}
	if len(names) > job.MaxFields {
		return State{}, job.Invalid("fields", "has %d entries, at most %d are allowed", len(names), job.MaxFields)
	}
	stored, err := s.read(ctx, jobID, names)
	switch {
	case err != nil:
		return State{}, err
	case stored.Verdict == conn.VerdictNone:
		return State{}, job.ErrJobNotFound
	case stored.Verdict == TooLarge:
		return State{}, job.ErrStateTooLarge
	}
	// The service's own fields would reveal what a lease token consists of.
	maps.DeleteFunc(stored.Fields, func(name, _ string) bool { return job.IsOwnField(name) })
	state := State{Fields: stored.Fields, Status: stored.status, TTL: stored.ttl}
	if stored.hasEvents && !state.Status.Terminal() {
		err = s.applyResult(ctx, jobID, &state, len(names) == 0 || slices.Contains(names, job.FieldStatus))
	}
	return state, err
}

// applyResult replaces the status of a state by that of the job's result, if it has one, and has the stored
// status repaired.
func (s *Store) applyResult(ctx context.Context, jobID string, state *State, hasStatusField bool) error {
	result, err := s.results.Find(ctx, jobID)
	if err != nil || result == nil {
		return err
	}
	s.results.HealLater(jobID)
	state.Status = result.Status
	if hasStatusField {
		state.Fields[job.FieldStatus] = string(result.Status)
	}
	return nil
}

// GetField reads one field of a job's state, as Get does. Errors: ErrJobNotFound,
// ErrFieldNotFound, ErrStateTooLarge.
func (s *Store) GetField(ctx context.Context, jobID, field string) (string, error) {
	state, err := s.Get(ctx, jobID, []string{field})
	if err != nil {
		return "", err
	}
	value, ok := state.Fields[field]
	if !ok {
		return "", job.ErrFieldNotFound
	}
	return value, nil
}

// Delete removes a job's state and reports whether it existed.
func (s *Store) Delete(ctx context.Context, jobID string) (bool, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return false, err
	}
	defer s.watches.StateWritten(jobID)
	n, err := s.Commands.Del(ctx, s.Keys.State(jobID)).Result()
	return n > 0, conn.Translate("delete state", err, conn.Repeatable)
}
