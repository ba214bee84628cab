package admin

import (
	"context"
	"errors"

	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/state"
)

// Jobs finds out what is known of a job.
type Jobs struct {
	locator *queue.Locator
	results *result.Lookup
	states  *state.Store
}

// NewJobs returns one.
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

// Job finds out where a job is and why. It searches all that is leased, delayed, waiting
// and dead, in this order, which takes about a second for a million tasks. ErrJobNotFound
// when nothing is known of it.
func (j *Jobs) Get(ctx context.Context, jobID string) (JobInfo, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return JobInfo{}, err
	}
	result, err := j.results.Find(ctx, jobID)
	if err != nil {
		return JobInfo{}, err
	}
	state, err := j.states.Get(ctx, jobID, []string{job.FieldStatus})
	if err != nil && !errors.Is(err, job.ErrJobNotFound) {
		return JobInfo{}, err
	}
	isKnown := err == nil || result != nil
	info := JobInfo{Status: state.Status, Result: result}
	if result != nil {
		info.Status = result.Status
	}
	find := j.locator.FindAgain
	if result != nil {
		find = func(ctx context.Context, jobID string) ([]queue.Place, error) {
			return j.locator.Places(ctx, jobID, true)
		}
	}
	places, err := find(ctx, jobID)
	if err != nil {
		return JobInfo{}, err
	}
	if !isKnown && len(places) == 0 {
		return JobInfo{}, job.ErrJobNotFound
	}
	for i, p := range places {
		if i == 0 || p.Where == queue.WhereLeased && info.Place.Where != queue.WhereLeased {
			info.Place = p
		}
	}
	cancelled, err := j.locator.CancelledAt(ctx, jobID)
	info.Cancelled = !cancelled.IsZero() && !cancelled.Before(info.Place.PublishedAt)
	return info, err
}
