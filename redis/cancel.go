package redis

import (
	"context"
	"fmt"
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
	b.bell.ringAll(b.keys.cancelledJobs())
	if reply[0] == "ALREADY" {
		return Cancelled{Was: Status(reply[2]), Cursor: reply[1]}, nil
	}
	// From here on no task of the job is delivered: who is not found to have one has none.
	place, err := b.find(ctx, jobID, reply[1] == "0")
	switch {
	case err != nil:
		return Cancelled{}, err
	case place.Where == WhereLeased:
		return Cancelled{Was: StatusRunning}, nil
	case place.Where == WhereNowhere && reply[1] == "0":
		return b.notFound(ctx, jobID)
	}
	return b.endCancelled(ctx, jobID, reason, place)
}

// notFound ends the cancellation of a job of which nothing was found: there is no such job,
// or a reader found its task in this moment, and ended it.
func (b *Broker) notFound(ctx context.Context, jobID string) (Cancelled, error) {
	result, err := b.result(ctx, jobID)
	switch {
	case err != nil:
		return Cancelled{}, err
	case result != nil:
		return Cancelled{Was: StatusPending, Cursor: result.Cursor}, nil
	}
	if err := b.client.commands.ZRem(ctx, b.keys.cancelledJobs(), jobID).Err(); err != nil {
		return Cancelled{}, translate("cancel", err, repeatable)
	}
	return Cancelled{}, ErrJobNotFound
}

// endCancelled records the result of a cancelled job that no worker has.
func (b *Broker) endCancelled(ctx context.Context, jobID, reason string, place Place) (Cancelled, error) {
	result := Result{Status: StatusCancelled, Error: reason}
	reply, err := b.drop(ctx, dropped{place: Place{Queue: b.config.DefaultQueue}, jobID: jobID, result: result})
	if err != nil {
		return Cancelled{}, err
	}
	if reply[0] != "DROPPED" {
		return Cancelled{}, fmt.Errorf("cancel: unexpected reply %q", reply[0])
	}
	// What waits would be dropped by the next reader; a delayed task may wait for long.
	if place.Where == WhereDelayed {
		if err := b.client.commands.ZRem(ctx, b.keys.delayed(place.Queue), place.member).Err(); err != nil {
			b.log.Debug("could not remove a delayed task of a cancelled job", "job_id", jobID, "error", err)
		}
	}
	return Cancelled{Was: StatusPending, Cursor: reply[1]}, nil
}

// dropped is a task that ends without a worker.
type dropped struct {
	place  Place
	jobID  string // "" for an entry that is no task
	part   string
	result Result
}

// drop runs the drop script.
func (b *Broker) drop(ctx context.Context, d dropped) ([]string, error) {
	record := ""
	if d.jobID != "" {
		record = "record"
	}
	config := b.queueConfig(d.place.Queue)
	r := recording{jobID: d.jobID, part: d.part, encoding: config.Encoding, results: []Result{d.result}}
	return b.record(ctx, dropScript, repeatable, r,
		[]string{b.keys.tasks(d.place.Queue), b.keys.delayed(d.place.Queue)},
		[]any{d.place.EntryID, d.place.member, config.Lease.Milliseconds(), record})
}
