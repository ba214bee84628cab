package broker

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/admin"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/state"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Jobs are the states, results and watches of jobs.
type Jobs struct{ *shardSet }

// InitState creates a job's state: Broker.InitState.
func (j *Jobs) InitState(ctx context.Context, r state.InitRequest) (bool, error) {
	return j.of(r.JobID).states.Init(ctx, r)
}

// SetState writes fields of a job's state: Broker.SetState.
func (j *Jobs) SetState(ctx context.Context, jobID string, fields map[string]string, token string) error {
	if token != "" {
		return j.holder(token).states.Set(ctx, jobID, fields, token)
	}
	return j.of(jobID).states.Set(ctx, jobID, fields, "")
}

// State reads a job's state: Broker.State.
func (j *Jobs) State(ctx context.Context, jobID string, names []string) (state.State, error) {
	return j.of(jobID).states.Get(ctx, jobID, names)
}

// StateField reads one field of a job's state: Broker.StateField.
func (j *Jobs) StateField(ctx context.Context, jobID, field string) (string, error) {
	return j.of(jobID).states.GetField(ctx, jobID, field)
}

// DeleteState removes a job's state: Broker.DeleteState.
func (j *Jobs) DeleteState(ctx context.Context, jobID string) (bool, error) {
	return j.of(jobID).states.Delete(ctx, jobID)
}

// Report records an event for a worker without a lease: Broker.Report.
func (j *Jobs) Report(ctx context.Context, jobID string, result job.Result) (job.Recorded, error) {
	return j.of(jobID).recorder.Report(ctx, jobID, result)
}

// Cancel cancels a job: Broker.Cancel.
func (j *Jobs) Cancel(ctx context.Context, jobID, reason string) (queue.Cancelled, error) {
	return j.of(jobID).canceller.Cancel(ctx, jobID, reason)
}

// Job finds out where a job is and why: Broker.Job.
func (j *Jobs) Job(ctx context.Context, jobID string) (admin.JobInfo, error) {
	return j.of(jobID).jobs.Get(ctx, jobID)
}

// WatchFrames starts to follow one job: Broker.WatchFrames.
func (j *Jobs) WatchFrames(jobID string, options watch.Options) (*watch.Watcher, error) {
	return j.of(jobID).watch.WatchFrames(jobID, options)
}

// Await waits for a job's terminal event: Broker.Await.
func (j *Jobs) Await(ctx context.Context, jobID string, wait time.Duration) (*job.Event, error) {
	return j.of(jobID).watch.Await(ctx, jobID, wait)
}

// Watches makes one without jobs: Broker.Watches.
func (j *Jobs) Watches() *watch.Watcher {
	return watch.NewWatcher(func(jobID string) *watch.Hub { return j.of(jobID).watch })
}

// ListJobs lists jobs that have a state: Broker.ListJobs.
func (j *Jobs) ListJobs(ctx context.Context, after string, count int) ([]state.Summary, string, error) {
	return pages(j.shardSet, after, count, func(b *shard, after string, count int) ([]state.Summary, string, error) {
		return b.states.List(ctx, after, count)
	}, func(*state.Summary, int) {})
}

// Watch starts to follow a job's events after a cursor; "" means from the first. The caller must
// Close it. Errors: ErrInvalid, *CursorExpiredError.
func (j *Jobs) Watch(ctx context.Context, jobID, after string) (*watch.Watch, watch.Snapshot, error) {
	return j.of(jobID).watch.Watch(ctx, jobID, after)
}
