package redis

import (
	"context"
	"slices"
	"strconv"
	"time"
)

// Cancelled says where a job was when it was cancelled.
type Cancelled struct {
	// Was is pending, running, or the job's result, which stays as it is.
	Was Status
	// Cursor is that of the job's result; "" while its worker has not reported one.
	Cursor string
}

// Cancel cancels a job. No task of it that was published so far is delivered any more. If
// none is leased, the job ends as cancelled at once. If one is, its worker is told when it
// extends the lease, and on the channel argus_cancel:<job>; what it reports is the job's
// result, and if it vanishes or gives the task back, the job ends as cancelled. A job that
// has its result keeps it. Errors: ErrJobNotFound.
func (b *Broker) Cancel(ctx context.Context, jobID, reason string) (Cancelled, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return Cancelled{}, err
	}
	if len(reason) > MaxReasonBytes {
		return Cancelled{}, invalid("reason", "has %d bytes, at most %d are allowed", len(reason), MaxReasonBytes)
	}
	reply, err := b.record(ctx, cancelScript, repeatable, recording{jobID: jobID}, []string{b.keys.cancelledJobs()},
		[]any{jobID, b.keys.cancelChannel(jobID), reason})
	if err != nil {
		return Cancelled{}, err
	}
	// What is published after this call is another run of the job: later by the clock that
	// compares the two, which counts milliseconds.
	defer pause(ctx, time.Millisecond)
	b.subscriptions.NotifyKey(b.keys.cancelledJobs())
	if reply[0] == "ALREADY" {
		return Cancelled{Was: Status(reply[2]), Cursor: reply[1]}, nil
	}
	// From here on no task of the job is delivered: who is not found to have one has none.
	isKnown, hasParts := reply[1] == "1", reply[2] == "1"
	var places []Place
	if isKnown {
		places, err = b.places(ctx, jobID, hasParts)
	} else {
		places, err = b.findAgain(ctx, jobID)
	}
	if err != nil {
		return Cancelled{}, err
	}
	isLive := slices.ContainsFunc(places, func(p Place) bool { return p.Where == WhereLeased })
	switch {
	case len(places) == 0 && !isKnown:
		return b.notFound(ctx, jobID)
	case isLive:
		return Cancelled{Was: StatusRunning}, b.dropRest(ctx, jobID, reason, places, hasParts)
	}
	result := Result{Status: StatusCancelled, Error: reason}
	reply, err = b.drop(ctx, dropped{place: Place{Queue: b.config.DefaultQueue}, jobID: jobID, result: result})
	if err != nil {
		return Cancelled{}, err
	}
	c := Cancelled{Was: StatusPending, Cursor: reply[2]}
	if reply[1] == "ALREADY" { // in this moment
		c.Was = Status(reply[3])
	}
	return c, b.dropRest(ctx, jobID, reason, places, false)
}

// dropRest removes the tasks of a cancelled job that no worker has. Of a job with parts
// each is recorded as a cancelled part, so that the job ends when its workers have reported.
// Others that wait in their queue would be dropped by its next reader, too.
func (b *Broker) dropRest(ctx context.Context, jobID, reason string, places []Place, hasParts bool) error {
	for _, p := range places {
		if p.member == "" && (p.Where != WhereWaiting || !hasParts) {
			continue
		}
		d := dropped{place: p, jobID: jobID, part: p.Task.Part, isRecorded: !hasParts, result: Result{Status: StatusCancelled, Error: reason}}
		if _, err := b.drop(ctx, d); err != nil {
			return err
		}
	}
	return nil
}

// notFound ends the cancellation of a job of which nothing was found: there is no such job,
// or a reader found its task in this moment, and ended it.
func (b *Broker) notFound(ctx context.Context, jobID string) (Cancelled, error) {
	result, err := b.result(ctx, jobID)
	switch {
	case err != nil:
		return Cancelled{}, err
	case result != nil && result.Status == StatusCancelled:
		return Cancelled{Was: StatusPending, Cursor: result.Cursor}, nil
	case result != nil:
		return Cancelled{Was: result.Status, Cursor: result.Cursor}, nil
	}
	if err := b.client.commands.ZRem(ctx, b.keys.cancelledJobs(), jobID).Err(); err != nil {
		return Cancelled{}, translate("cancel", err, repeatable)
	}
	return Cancelled{}, ErrJobNotFound
}

// dropped is a task that ends without a worker.
type dropped struct {
	place  Place
	jobID  string // "" for an entry that is no task
	part   string
	result Result
	// isRecorded: another result records its end, or will.
	isRecorded bool
}

// drop runs the drop script.
func (b *Broker) drop(ctx context.Context, d dropped) ([]string, error) {
	record := ""
	if d.jobID != "" && !d.isRecorded {
		record = "record"
	}
	where, id := "nowhere", ""
	switch {
	case d.place.EntryID != "":
		where, id = "entry", d.place.EntryID
	case d.place.member != "":
		where, id = "set", d.place.member
	}
	config, unique := b.queueConfig(d.place.Queue), ""
	if config.UniqueJobs {
		unique = strconv.FormatInt(d.place.PublishedAt.UnixMilli(), 10)
	}
	r := recording{jobID: d.jobID, part: d.part, queue: config, results: []Result{d.result}}
	return b.record(ctx, dropScript, repeatable, r,
		[]string{b.keys.tasks(d.place.Queue), d.place.set(b.keys)},
		[]any{where, id, config.Lease.Milliseconds(), b.config.DefaultGroup, unique, record})
}
