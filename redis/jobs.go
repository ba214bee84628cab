package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// OnConflict is what InitState does when the job has a state already.
type OnConflict string

// The ways.
const (
	ConflictFail    OnConflict = initFail    // ErrJobExists
	ConflictKeep    OnConflict = initKeep    // leave it
	ConflictReplace OnConflict = initReplace // write the new one in its place
)

// InitRequest creates a job's state.
type InitRequest struct {
	JobID string
	InitialState
	OnConflict OnConflict // default ConflictFail
}

// InitState creates a job's state; its status is pending unless the fields say
// otherwise. created is true when the job had none.
func (b *Broker) InitState(ctx context.Context, r InitRequest) (created bool, err error) {
	if err := errors.Join(CheckTTL("ttl", r.TTL), CheckFields("fields", r.Fields), checkParts("parts", r.Parts)); err != nil {
		return false, err
	}
	if r.OnConflict == "" {
		r.OnConflict = ConflictFail
	}
	defer b.ringState(r.JobID)
	return b.states.write(ctx, stateWrite{jobID: r.JobID, mode: string(r.OnConflict), ttl: r.TTL, fields: r.flat(), parts: r.Parts})
}

// fieldParts is the field of a job's state that names its parts.
const fieldParts = "argus_parts"

// flat is the state as field, value, …
func (s InitialState) flat() []string {
	fields := pairs(s.Fields)
	if _, given := s.Fields[fieldStatus]; !given {
		fields = append(fields, fieldStatus, string(StatusPending))
	}
	for _, part := range s.Parts {
		fields = append(fields, part+statusSuffix, string(StatusPending))
	}
	if len(s.Parts) > 0 {
		fields = append(fields, fieldParts, strings.Join(s.Parts, " "))
	}
	return fields
}

// SetState writes fields of a job's state. With a token, only while that lease of the
// job's task is held: else ErrLeaseLost. ErrInvalid when the state would become too large.
func (b *Broker) SetState(ctx context.Context, jobID string, fields map[string]string, token string) error {
	w := stateWrite{jobID: jobID, mode: setFields, fields: pairs(fields)}
	if err := errors.Join(CheckID("job_id", jobID), CheckFields("fields", fields)); err != nil {
		return err
	}
	if token != "" {
		lease, err := b.parseLease(token)
		if err == nil && lease.JobID != jobID {
			err = fmt.Errorf("%w: it is for another job", ErrLeaseToken)
		}
		if err != nil {
			return err
		}
		w.lease = &lease
	}
	_, err := b.states.write(ctx, w)
	b.ringState(jobID)
	return err
}

// JobState is what is known of a job.
type JobState struct {
	Fields map[string]string
	Status Status
	// TTL is how long the state is still kept; negative when it does not expire.
	TTL time.Duration
}

// State reads a job's state: the named fields that are there, or all when none is
// named. The status is that of the job's result if it has one, whatever a raw worker left in
// the state. ErrJobNotFound when the job has no state, ErrStateTooLarge when a raw peer made it
// too large to be read.
func (b *Broker) State(ctx context.Context, jobID string, names []string) (JobState, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return JobState{}, err
	}
	if len(names) > MaxFields {
		return JobState{}, invalid("fields", "has %d entries, at most %d are allowed", len(names), MaxFields)
	}
	found, err := b.readState(ctx, jobID, names)
	switch {
	case err != nil:
		return JobState{}, err
	case found.verdict == stateNone:
		return JobState{}, ErrJobNotFound
	case found.verdict == stateTooLarge:
		return JobState{}, ErrStateTooLarge
	}
	// They say what a lease token is made of.
	maps.DeleteFunc(found.fields, func(name, _ string) bool { return isOwnField(name) })
	state := JobState{Fields: found.fields, Status: found.status, TTL: found.ttl}
	if !found.hasEvents || state.Status.Terminal() {
		return state, nil
	}
	result, err := b.result(ctx, jobID)
	if err != nil || result == nil {
		return state, err
	}
	b.toHeal(jobID)
	state.Status = result.Status
	if len(names) == 0 || slices.Contains(names, fieldStatus) {
		state.Fields[fieldStatus] = string(result.Status)
	}
	return state, nil
}

// StateField reads one field of a job's state, as State does. Errors: ErrJobNotFound,
// ErrFieldNotFound, ErrStateTooLarge.
func (b *Broker) StateField(ctx context.Context, jobID, field string) (string, error) {
	state, err := b.State(ctx, jobID, []string{field})
	if err != nil {
		return "", err
	}
	value, ok := state.Fields[field]
	if !ok {
		return "", ErrFieldNotFound
	}
	return value, nil
}

// DeleteState removes a job's state and says whether there was one.
func (b *Broker) DeleteState(ctx context.Context, jobID string) (bool, error) {
	defer b.ringState(jobID)
	return b.states.remove(ctx, jobID)
}

// JobSummary is a job in a list.
type JobSummary struct {
	JobID       string
	Status      Status
	CompletedAt time.Time // zero before it has its result
}

// scanCount is how many keys one SCAN looks at, scanCalls how many SCANs make a page.
const (
	scanCount = 1000
	scanCalls = 10
)

// ListJobs lists jobs that have a state, in no order: about count of them after a token,
// "" for the first, and the token to go on with, "" at the end. A page may be empty.
func (b *Broker) ListJobs(ctx context.Context, after string, count int) (jobs []JobSummary, next string, err error) {
	var cursor uint64
	if after != "" {
		if cursor, err = strconv.ParseUint(after, 10, 64); err != nil || cursor == 0 {
			return nil, "", errPageToken
		}
	}
	node, err := b.client.node(ctx)
	if err != nil {
		return nil, "", err
	}
	for range scanCalls {
		var found []string
		found, cursor, err = node.ScanType(ctx, cursor, b.keys.statePattern(), min(scanCount, int64(count)*2), "hash").Result()
		if err != nil {
			return nil, "", translate("list jobs", err, repeatable)
		}
		for _, key := range found {
			if job, ok := b.keys.stateJob(key); ok {
				jobs = append(jobs, JobSummary{JobID: job})
			}
		}
		if cursor == 0 || len(jobs) >= count {
			break
		}
	}
	if cursor != 0 {
		next = strconv.FormatUint(cursor, 10)
	}
	return jobs, next, b.readStatuses(ctx, jobs)
}

// readStatuses fills in the jobs' statuses, and when they got their results: first what is
// stored, then, of jobs that by this are not over, what their results say.
func (b *Broker) readStatuses(ctx context.Context, jobs []JobSummary) error {
	if len(jobs) == 0 {
		return nil
	}
	if err := b.readStoredStatuses(ctx, jobs); err != nil {
		return err
	}
	var open []*JobSummary
	for i := range jobs {
		if !jobs[i].Status.Terminal() {
			open = append(open, &jobs[i])
		}
	}
	for page := range slices.Chunk(open, resultPage) {
		pipe := b.client.commands.Pipeline()
		newest := make([]*goredis.XMessageSliceCmd, len(page))
		for i, job := range page {
			newest[i] = pipe.XRevRangeN(ctx, b.keys.completion(job.JobID), "+", "-", 1)
		}
		_, _ = pipe.Exec(ctx) // a key of another type is no reason to show no list
		for i, job := range page {
			for _, entry := range newest[i].Val() {
				if !decodeEvent(job.JobID, entry.ID, textFields(entry.Values)).Status.Terminal() {
					continue
				}
				if result, err := b.result(ctx, job.JobID); err == nil && result != nil {
					b.toHeal(job.JobID)
					job.Status, job.CompletedAt = result.Status, result.CompletedAt
				}
			}
		}
	}
	return nil
}

// resultPage is how many jobs' newest events are read at once: they may be large.
const resultPage = 50

func (b *Broker) readStoredStatuses(ctx context.Context, jobs []JobSummary) error {
	pipe := b.client.commands.Pipeline()
	states := make([]*goredis.SliceCmd, len(jobs))
	for i, job := range jobs {
		states[i] = pipe.HMGet(ctx, b.keys.state(job.JobID), fieldStatus, fieldCompletedAt)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return translate("list jobs", err, repeatable)
	}
	for i := range jobs {
		status, _ := states[i].Val()[0].(string)
		completed, _ := states[i].Val()[1].(string)
		jobs[i].Status = Status(status)
		if at, ok := ParseTime(completed); ok {
			jobs[i].CompletedAt = at
		}
	}
	return nil
}
