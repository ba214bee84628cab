package state

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/result"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Store is the states of jobs.
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
type OnConflict string

// The ways.
const (
	ConflictFail    OnConflict = modeFail    // ErrJobExists
	ConflictKeep    OnConflict = modeKeep    // leave it
	ConflictReplace OnConflict = modeReplace // write the new one in its place
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
	defer s.watches.StateWritten(r.JobID)
	return s.writeState(ctx, Write{JobID: r.JobID, Mode: string(r.OnConflict), ttl: r.TTL, Fields: r.Flat(), parts: r.Parts})
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
	_, err := s.writeState(ctx, w)
	s.watches.StateWritten(jobID)
	return err
}

// State is what is known of a job.
type State struct {
	Fields map[string]string
	Status job.Status
	// TTL is how long the state is still kept; negative when it does not expire.
	TTL time.Duration
}

// Get reads a job's state: the named fields that are there, or all when none is
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
	found, err := s.readState(ctx, jobID, names)
	switch {
	case err != nil:
		return State{}, err
	case found.Verdict == stateNone:
		return State{}, job.ErrJobNotFound
	case found.Verdict == TooLarge:
		return State{}, job.ErrStateTooLarge
	}
	// They say what a lease token is made of.
	maps.DeleteFunc(found.Fields, func(name, _ string) bool { return job.IsOwnField(name) })
	state := State{Fields: found.Fields, Status: found.status, TTL: found.ttl}
	if !found.hasEvents || state.Status.Terminal() {
		return state, nil
	}
	result, err := s.results.Find(ctx, jobID)
	if err != nil || result == nil {
		return state, err
	}
	s.results.HealLater(jobID)
	state.Status = result.Status
	if len(names) == 0 || slices.Contains(names, job.FieldStatus) {
		state.Fields[job.FieldStatus] = string(result.Status)
	}
	return state, nil
}

// GetField reads one field of a job's state, as State does. Errors: ErrJobNotFound,
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

// Delete removes a job's state and says whether there was one.
func (s *Store) Delete(ctx context.Context, jobID string) (bool, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return false, err
	}
	defer s.watches.StateWritten(jobID)
	n, err := s.Commands.Del(ctx, s.Keys.State(jobID)).Result()
	return n > 0, conn.Translate("delete state", err, conn.Repeatable)
}

func (s *Store) writeState(ctx context.Context, w Write) (created bool, err error) {
	w.DefaultTTL = s.Settings.StateTTL
	return Apply(ctx, s.Conn, s.Keys.State(w.JobID), w)
}
