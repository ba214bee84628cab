package admin

import (
	"context"
	"errors"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Jobs finds jobs.
type Jobs struct {
	locator *queue.Locator
	results *result.Lookup
	states  *state.Store
}

// NewJobs returns the jobs of a shard.
func NewJobs(locator *queue.Locator, results *result.Lookup, states *state.Store) *Jobs {
	return &Jobs{locator, results, states}
}

// JobInfo is all that is known of a job.
type JobInfo struct {
	Status job.Status // by its result, else by its state; "" when it has neither
	Result *job.Event // nil while it has none
	Place  queue.Place
	// Cancelled: its cancellation was asked for.
	Cancelled bool
}

// Get finds out where a job is and why. It searches all leased, delayed, waiting
// and dead tasks, in this order, which takes a few seconds for a million tasks. ErrJobNotFound
// when nothing is known of the job.
func (j *Jobs) Get(ctx context.Context, jobID string) (JobInfo, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return JobInfo{}, err
	}
	info, isKnown, err := j.status(ctx, jobID)
	if err != nil {
		return JobInfo{}, err
	}
	var places []queue.Place
	if info.Result != nil {
		places, err = j.locator.Places(ctx, jobID, true)
	} else {
		places, err = j.locator.FindAgain(ctx, jobID)
	}
	if err != nil {
		return JobInfo{}, err
	}
	if !isKnown && len(places) == 0 {
		return JobInfo{}, job.ErrJobNotFound
	}
	info.Place = foremost(places)
	cancelled, err := j.locator.CancelledAt(ctx, jobID)
	info.Cancelled = !cancelled.IsZero() && !cancelled.Before(info.Place.PublishedAt)
	return info, err
}

// status reads a job's result and its state; isKnown is false when it has neither.
func (j *Jobs) status(ctx context.Context, jobID string) (info JobInfo, isKnown bool, err error) {
	result, err := j.results.Find(ctx, jobID)
	if err != nil {
		return JobInfo{}, false, err
	}
	state, err := j.states.Get(ctx, jobID, []string{job.FieldStatus})
	if err != nil && !errors.Is(err, job.ErrJobNotFound) {
		return JobInfo{}, false, err
	}
	info = JobInfo{Status: state.Status, Result: result}
	if result != nil {
		info.Status = result.Status
	}
	return info, err == nil || result != nil, nil
}

// foremost is the place that says most about a job: a lease, else the first one.
func foremost(places []queue.Place) queue.Place {
	for _, p := range places {
		if p.Where == queue.WhereLeased {
			return p
		}
	}
	if len(places) == 0 {
		return queue.Place{}
	}
	return places[0]
}
