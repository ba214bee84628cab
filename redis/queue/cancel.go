package queue

import (
	"context"
	"errors"
	"slices"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
	"github.com/hikmaai-io/argus-queue/redis/watch"
)

// Canceller cancels jobs, and drops tasks that end without a worker.
type Canceller struct {
	*conn.Shard
	watches  *watch.Subscriptions
	results  *result.Lookup
	recorder *result.Recorder
	locator  *Locator
}

// NewCanceller returns a canceller.
func NewCanceller(shard *conn.Shard, watches *watch.Subscriptions, results *result.Lookup, recorder *result.Recorder, locator *Locator) *Canceller {
	return &Canceller{shard, watches, results, recorder, locator}
}

// Cancelled says where a job was when it was cancelled.
type Cancelled struct {
	// Was is pending, running, or the job's result, which stays as it is.
	Was job.Status
	// Cursor is that of the job's result; "" while its worker has not reported one.
	Cursor string
}

// Cancel cancels a job: no task of it that was published so far is delivered from now on. If none is
// leased, the job ends as cancelled at once. If one is, its worker is notified when it extends the
// lease, and on the channel argus_cancel:<job>; what the worker reports is the job's result, and if it
// vanishes or requeues the task, the job ends as cancelled. A job that has its result keeps it. Errors:
// ErrInvalid, ErrJobNotFound.
func (c *Canceller) Cancel(ctx context.Context, jobID, reason string) (Cancelled, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return Cancelled{}, err
	}
	if len(reason) > job.MaxReasonBytes {
		return Cancelled{}, job.Invalid("reason", "has %d bytes, at most %d are allowed", len(reason), job.MaxReasonBytes)
	}
	args := cancelArgs{JobID: jobID, Channel: c.Keys.CancelChannel(jobID), Reason: reason}
	reply, err := args.run(ctx, c.Shard, c.recorder)
	if err != nil {
		return Cancelled{}, err
	}
	// What is published after this call is another run of the job: later by the clock that compares the
	// two, which counts milliseconds.
	defer conn.Pause(ctx, time.Millisecond)
	c.watches.JobCancelled()
	if reply.Verdict == conn.VerdictAlready {
		return Cancelled{Was: reply.Status, Cursor: reply.Cursor}, nil
	}
	return c.end(ctx, jobID, reason, reply)
}

// end ends a job that is marked as cancelled, unless a worker has a task of it. From the mark on, no task
// of the job is delivered, so a job without a leased task stays without one.
func (c *Canceller) end(ctx context.Context, jobID, reason string, reply cancelReply) (Cancelled, error) {
	find := c.locator.FindAgain
	if reply.IsKnown {
		find = func(ctx context.Context, jobID string) ([]Place, error) {
			return c.locator.Places(ctx, jobID, reply.HasParts)
		}
	}
	places, err := find(ctx, jobID)
	switch {
	case err != nil:
		return Cancelled{}, err
	case len(places) == 0 && !reply.IsKnown:
		return c.notFound(ctx, jobID)
	case slices.ContainsFunc(places, func(p Place) bool { return p.Where == WhereLeased }):
		return Cancelled{Was: job.StatusRunning}, c.dropRest(ctx, jobID, reason, places, reply.HasParts)
	}
	dropped, err := c.Drop(ctx, Dropped{Place: Place{Queue: c.Settings.DefaultQueue}, JobID: jobID, Result: job.Result{Status: job.StatusCancelled, Error: reason}})
	if err != nil {
		return Cancelled{}, err
	}
	cancelled := Cancelled{Was: job.StatusPending, Cursor: dropped.Cursor}
	if dropped.Recorded == conn.VerdictAlready { // at this moment
		cancelled.Was = dropped.Status
	}
	return cancelled, c.dropRest(ctx, jobID, reason, places, false)
}

// dropRest removes the tasks of a cancelled job that no worker has. For a job with parts each is
// recorded as a cancelled part, so that the job ends when its workers have reported. Other tasks that
// wait in their queue are left to its next reader, which drops them.
func (c *Canceller) dropRest(ctx context.Context, jobID, reason string, places []Place, hasParts bool) error {
	for _, p := range places {
		if p.member == "" && (p.Where != WhereWaiting || !hasParts) {
			continue
		}
		d := Dropped{Place: p, JobID: jobID, Part: p.Task.Part, isRecorded: !hasParts, Result: job.Result{Status: job.StatusCancelled, Error: reason}}
		if _, err := c.Drop(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// notFound ends the cancellation of a job of which nothing was found: there is no such job, or a reader
// has just found its task and ended it.
func (c *Canceller) notFound(ctx context.Context, jobID string) (Cancelled, error) {
	result, err := c.results.Find(ctx, jobID)
	switch {
	case err != nil:
		return Cancelled{}, err
	case result != nil && result.Status == job.StatusCancelled:
		return Cancelled{Was: job.StatusPending, Cursor: result.Cursor}, nil
	case result != nil:
		return Cancelled{Was: result.Status, Cursor: result.Cursor}, nil
	}
	if err := c.Commands.ZRem(ctx, c.Keys.Tenant().CancelledJobs(), jobID).Err(); err != nil {
		return Cancelled{}, conn.Translate("cancel", err, conn.Repeatable)
	}
	return Cancelled{}, job.ErrJobNotFound
}

// CancelledAmong returns those of some jobs that were cancelled.
func (c *Canceller) CancelledAmong(ctx context.Context, jobs []string) ([]string, error) {
	pipe := c.Commands.Pipeline()
	scores := make([]*goredis.FloatCmd, len(jobs))
	for i, jobID := range jobs {
		scores[i] = pipe.ZScore(ctx, c.Keys.Tenant().CancelledJobs(), jobID)
	}
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, goredis.Nil) {
		return nil, conn.Translate("look for cancelled jobs", err, conn.Repeatable)
	}
	var cancelled []string
	for i, jobID := range jobs {
		if scores[i].Err() == nil {
			cancelled = append(cancelled, jobID)
		}
	}
	return cancelled, nil
}

// cancelArgs are the arguments of lua/cancel.lua, without those that the recorder adds.
type cancelArgs struct {
	JobID   string
	Channel string
	Reason  string
}

// cancelReply is the result of lua/cancel.lua.
type cancelReply struct {
	Verdict  string
	IsKnown  bool       // of MARKED
	HasParts bool       // of MARKED
	Cursor   string     // of ALREADY
	Status   job.Status // of ALREADY
}

func (a *cancelArgs) run(ctx context.Context, s *conn.Shard, recorder *result.Recorder) (cancelReply, error) {
	words, err := recorder.Record(ctx, conn.CancelScript, conn.Repeatable, result.Write{JobID: a.JobID},
		[]string{s.Keys.Tenant().CancelledJobs()}, []any{a.JobID, a.Channel, a.Reason})
	if err != nil {
		return cancelReply{}, err
	}
	if words[0] == conn.VerdictAlready {
		return cancelReply{Verdict: words[0], Cursor: words[1], Status: job.Status(words[2])}, nil
	}
	return cancelReply{Verdict: words[0], IsKnown: words[1] == "1", HasParts: words[2] == "1"}, nil
}
