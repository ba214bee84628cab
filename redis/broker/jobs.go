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

// Jobs reads, writes, cancels and watches jobs.
type Jobs struct{ *shardSet }

// InitState creates a job's state. Its status is pending unless the fields contain another. What
// happens when the job has a state already, r.OnConflict decides; the default is job.ErrJobExists.
// created reports whether the job had none.
func (j *Jobs) InitState(ctx context.Context, r state.InitRequest) (created bool, err error) {
	return j.of(r.JobID).states.Init(ctx, r)
}

// SetState writes fields of a job's state, creating the state if there is none. With a token it
// writes only while that lease of the job's task is held.
//
// Errors: job.ErrInvalid when the state would become too large; job.ErrLeaseToken; job.ErrLeaseLost.
// After each of them nothing was written.
func (j *Jobs) SetState(ctx context.Context, jobID string, fields map[string]string, token string) error {
	if token != "" {
		return j.holder(token).states.Set(ctx, jobID, fields, token)
	}
	return j.of(jobID).states.Set(ctx, jobID, fields, "")
}

// State reads a job's state: those of the named fields that exist, or all fields when none is named.
// The status is that of the job's result if it has one, even if a raw worker left another status in
// the state.
//
// Errors: job.ErrJobNotFound when the job has no state; job.ErrStateTooLarge when a raw peer made it
// too large to be read as a whole.
func (j *Jobs) State(ctx context.Context, jobID string, names []string) (state.State, error) {
	return j.of(jobID).states.Get(ctx, jobID, names)
}

// StateField reads one field of a job's state, as State does. Errors: job.ErrJobNotFound,
// job.ErrFieldNotFound, job.ErrStateTooLarge.
func (j *Jobs) StateField(ctx context.Context, jobID, field string) (string, error) {
	return j.of(jobID).states.GetField(ctx, jobID, field)
}

// DeleteState removes a job's state and reports whether there was one. Events and tasks of the job
// remain.
func (j *Jobs) DeleteState(ctx context.Context, jobID string) (existed bool, err error) {
	return j.of(jobID).states.Delete(ctx, jobID)
}

// ListJobs lists jobs that have a state, in no order: about count of them after a token, "" for the
// first page. next is the token of the next page, "" at the end. A page may be empty although more
// follow. job.ErrInvalid for a token that no page returned.
func (j *Jobs) ListJobs(ctx context.Context, after string, count int) (jobs []state.Summary, next string, err error) {
	return pages(j.shardSet, after, count, func(s *shard, after string, count int) ([]state.Summary, string, error) {
		return s.states.List(ctx, after, count)
	}, func(*state.Summary, int) {})
}

// Report records an event of a job without a lease. A terminal status is the job's result, unless it
// has one, and is recorded in its state as well.
//
// Errors: job.ErrTooManyEvents for a status that is not terminal; such an event is not deduplicated,
// so that job.ErrOutcomeUnknown means it may have been recorded.
func (j *Jobs) Report(ctx context.Context, jobID string, result job.Result) (job.Recorded, error) {
	return j.of(jobID).recorder.Report(ctx, jobID, result)
}

// Cancel cancels a job: none of its tasks that were published before is delivered any more. Tasks that
// are published after Cancel returned are another run of the job.
//
// If no task is leased, the job ends as cancelled at once. If one is, its worker learns of it when it
// extends the lease, and on the channel argus_cancel:<job>; the result that it reports counts, and if
// it vanishes or returns the task, the job ends as cancelled. A job that has a result keeps it.
//
// Errors: job.ErrJobNotFound.
func (j *Jobs) Cancel(ctx context.Context, jobID, reason string) (queue.Cancelled, error) {
	return j.of(jobID).canceller.Cancel(ctx, jobID, reason)
}

// Job finds out where a job's task is and why. It searches everything that is leased, delayed, waiting
// and dead, in this order, which takes about a second for a million tasks. job.ErrJobNotFound when
// nothing is known of the job.
func (j *Jobs) Job(ctx context.Context, jobID string) (admin.JobInfo, error) {
	return j.of(jobID).jobs.Get(ctx, jobID)
}

// Await blocks up to wait for a job's terminal event, and returns nil when there is none by then. The
// job need not exist yet.
func (j *Jobs) Await(ctx context.Context, jobID string, wait time.Duration) (*job.Event, error) {
	return j.of(jobID).watch.Await(ctx, jobID, wait)
}

// Watch starts to follow a job's events after a cursor, "" for the first event. It blocks until the
// first read. The job need not exist yet. The caller must Close the watch. Errors: job.ErrInvalid,
// *job.CursorExpiredError.
func (j *Jobs) Watch(ctx context.Context, jobID, after string) (*watch.Watch, watch.Snapshot, error) {
	return j.of(jobID).watch.Watch(ctx, jobID, after)
}

// WatchFrames starts to follow one job, with its state if options say so. It does not block: the first
// Next reads, and fails when Redis is unavailable. The caller must Close the watcher. job.ErrInvalid
// for a bad job id or cursor.
func (j *Jobs) WatchFrames(jobID string, options watch.Options) (*watch.Watcher, error) {
	return j.of(jobID).watch.WatchFrames(jobID, options)
}

// Watches returns a watcher without jobs; jobs of any shard can be added to it. The caller must Close
// it.
func (j *Jobs) Watches() *watch.Watcher {
	return watch.NewWatcher(func(jobID string) *watch.Hub { return j.of(jobID).watch })
}
