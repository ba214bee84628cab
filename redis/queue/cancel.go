package queue

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/watch"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
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

// Cancel cancels a job. No task of it that was published so far is delivered any more. If
// none is leased, the job ends as cancelled at once. If one is, its worker is told when it
// extends the lease, and on the channel argus_cancel:<job>; what it reports is the job's
// result, and if it vanishes or gives the task back, the job ends as cancelled. A job that
// has its result keeps it. Errors: ErrJobNotFound.
func (canceller *Canceller) Cancel(ctx context.Context, jobID, reason string) (Cancelled, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return Cancelled{}, err
	}
	if len(reason) > job.MaxReasonBytes {
		return Cancelled{}, job.Invalid("reason", "has %d bytes, at most %d are allowed", len(reason), job.MaxReasonBytes)
	}
	reply, err := canceller.recorder.Record(ctx, conn.CancelScript, conn.Repeatable, result.Write{JobID: jobID}, []string{canceller.Keys.CancelledJobs()},
		[]any{jobID, canceller.Keys.CancelChannel(jobID), reason})
	if err != nil {
		return Cancelled{}, err
	}
	// What is published after this call is another run of the job: later by the clock that
	// compares the two, which counts milliseconds.
	defer conn.Pause(ctx, time.Millisecond)
	canceller.watches.JobCancelled()
	if reply[0] == "ALREADY" {
		return Cancelled{Was: job.Status(reply[2]), Cursor: reply[1]}, nil
	}
	// From here on no task of the job is delivered: who is not found to have one has none.
	isKnown, hasParts := reply[1] == "1", reply[2] == "1"
	var places []Place
	if isKnown {
		places, err = canceller.locator.Places(ctx, jobID, hasParts)
	} else {
		places, err = canceller.locator.FindAgain(ctx, jobID)
	}
	if err != nil {
		return Cancelled{}, err
	}
	isLive := slices.ContainsFunc(places, func(p Place) bool { return p.Where == WhereLeased })
	switch {
	case len(places) == 0 && !isKnown:
		return canceller.notFound(ctx, jobID)
	case isLive:
		return Cancelled{Was: job.StatusRunning}, canceller.dropRest(ctx, jobID, reason, places, hasParts)
	}
	result := job.Result{Status: job.StatusCancelled, Error: reason}
	reply, err = canceller.Drop(ctx, Dropped{Place: Place{Queue: canceller.Settings.DefaultQueue}, JobID: jobID, Result: result})
	if err != nil {
		return Cancelled{}, err
	}
	c := Cancelled{Was: job.StatusPending, Cursor: reply[2]}
	if reply[1] == "ALREADY" { // in this moment
		c.Was = job.Status(reply[3])
	}
	return c, canceller.dropRest(ctx, jobID, reason, places, false)
}

// dropRest removes the tasks of a cancelled job that no worker has. Of a job with parts
// each is recorded as a cancelled part, so that the job ends when its workers have reported.
// Others that wait in their queue would be dropped by its next reader, too.
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

// notFound ends the cancellation of a job of which nothing was found: there is no such job,
// or a reader found its task in this moment, and ended it.
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
	if err := c.Commands.ZRem(ctx, c.Keys.CancelledJobs(), jobID).Err(); err != nil {
		return Cancelled{}, conn.Translate("cancel", err, conn.Repeatable)
	}
	return Cancelled{}, job.ErrJobNotFound
}

// Dropped is a task that ends without a worker.
type Dropped struct {
	Place  Place
	JobID  string // "" for an entry that is no task
	Part   string
	Result job.Result
	// isRecorded: another result records its end, or will.
	isRecorded bool
}

// Drop runs the drop script.
func (c *Canceller) Drop(ctx context.Context, d Dropped) ([]string, error) {
	record := ""
	if d.JobID != "" && !d.isRecorded {
		record = "record"
	}
	where, id := "nowhere", ""
	switch {
	case d.Place.EntryID != "":
		where, id = "entry", d.Place.EntryID
	case d.Place.member != "":
		where, id = "set", d.Place.member
	}
	config, unique := c.QueueSettings(d.Place.Queue), ""
	if config.UniqueJobs {
		unique = strconv.FormatInt(d.Place.PublishedAt.UnixMilli(), 10)
	}
	r := result.Write{JobID: d.JobID, Part: d.Part, Queue: config, Results: []job.Result{d.Result}}
	return c.recorder.Record(ctx, conn.DropScript, conn.Repeatable, r,
		[]string{c.Keys.Tasks(d.Place.Queue), d.Place.Set(c.Keys)},
		[]any{where, id, config.Lease.Milliseconds(), c.Settings.DefaultGroup, unique, record})
}
