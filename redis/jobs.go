package redis

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	return b.states.write(ctx, stateWrite{jobID: r.JobID, mode: string(r.OnConflict), ttl: r.TTL, fields: r.flat()})
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
// job's task is held: else ErrLeaseLost.
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
// named. ErrJobNotFound when the job has no state.
func (b *Broker) State(ctx context.Context, jobID string, names []string) (JobState, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return JobState{}, err
	}
	if len(names) > MaxFields {
		return JobState{}, invalid("fields", "has %d entries, at most %d are allowed", len(names), MaxFields)
	}
	key := b.keys.state(jobID)
	pipe := b.client.commands.Pipeline()
	ttl := pipe.PTTL(ctx, key)
	status := pipe.HGet(ctx, key, fieldStatus)
	var all *goredis.MapStringStringCmd
	var some *goredis.SliceCmd
	if len(names) == 0 {
		all = pipe.HGetAll(ctx, key)
	} else {
		some = pipe.HMGet(ctx, key, names...)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return JobState{}, translate("get state", err, repeatable)
	}
	if ttl.Val() == -2 { // the driver's word for a missing key
		return JobState{}, ErrJobNotFound
	}
	state := JobState{Status: Status(status.Val()), TTL: ttl.Val()}
	if all != nil {
		state.Fields = all.Val()
		maps.DeleteFunc(state.Fields, func(name, _ string) bool { return strings.HasPrefix(name, metaPrefix) })
		return state, nil
	}
	state.Fields = make(map[string]string, len(names))
	for i, value := range some.Val() {
		if text, ok := value.(string); ok {
			state.Fields[names[i]] = text
		}
	}
	return state, nil
}

// StateField reads one field of a job's state. Errors: ErrJobNotFound, ErrFieldNotFound.
func (b *Broker) StateField(ctx context.Context, jobID, field string) (string, error) {
	return b.states.GetField(ctx, jobID, field)
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

// readStatuses fills in the jobs' statuses, and when they got their results.
func (b *Broker) readStatuses(ctx context.Context, jobs []JobSummary) error {
	if len(jobs) == 0 {
		return nil
	}
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
