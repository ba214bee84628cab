package result

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Watches are notified of what this process writes.
type Watches interface {
	StateWritten(jobID string)
	EventsWritten(jobID string)
}

// Settler is notified of each task that this process settles.
type Settler interface{ Settled(lease job.Lease) }

// Recorder records results.
type Recorder struct {
	*conn.Shard
	watches Watches
	settler Settler
}

// NewRecorder returns a recorder.
func NewRecorder(shard *conn.Shard, watches Watches, settler Settler) *Recorder {
	return &Recorder{shard, watches, settler}
}

// Completion is a task's result, by the token of its lease.
type Completion struct {
	Token  string
	Result job.Result
}

// Outcome is the outcome of one of several completions: where its event is, or its error.
type Outcome struct {
	job.Recorded
	Err error
}

// pendingResult is a result that is not recorded yet.
type pendingResult struct {
	Write
	lease   job.Lease // Group is "" for a worker without a lease
	outcome *Outcome
}

// Complete records the one terminal result of a job, or of a part of it, and settles the
// task, in one step. Repeating it with the same token is safe. After ErrInvalid,
// ErrLeaseToken and ErrLeaseLost nothing was written.
func (r *Recorder) Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error) {
	var outcome Outcome
	if p := r.newPendingResult(Completion{token, result}, &outcome); p != nil {
		r.complete(ctx, []*pendingResult{p})
	}
	return outcome.Recorded, outcome.Err
}

// CompleteAll is Complete for many tasks: one outcome for each, in their order.
func (r *Recorder) CompleteAll(ctx context.Context, all []Completion) []Outcome {
	outcomes, pending := make([]Outcome, len(all)), make([]*pendingResult, 0, len(all))
	for i, c := range all {
		if p := r.newPendingResult(c, &outcomes[i]); p != nil {
			pending = append(pending, p)
		}
	}
	for len(pending) > 0 {
		n := batchLength(pending)
		r.complete(ctx, pending[:n])
		pending = pending[n:]
	}
	return outcomes
}

// CheckCompletions checks the number of completions in one call.
func CheckCompletions(all []Completion) error {
	if len(all) == 0 || len(all) > job.MaxBatch {
		return job.Invalid("requests", "has %d entries, want 1 to %d", len(all), job.MaxBatch)
	}
	return nil
}

// newPendingResult checks a completion; for a wrong one it sets the outcome and returns nil.
func (r *Recorder) newPendingResult(c Completion, outcome *Outcome) *pendingResult {
	lease, err := r.ParseLease(c.Token)
	if err == nil {
		err = c.Result.Check()
	}
	if err == nil && !c.Result.Status.Terminal() {
		err = job.Invalid("status", "is %s, want a terminal one: completed, partial, failed or cancelled", c.Result.Status)
	}
	if err != nil {
		outcome.Err = err
		return nil
	}
	return &pendingResult{lease: lease, outcome: outcome, Write: Write{JobID: lease.JobID, Part: c.Result.Part, mark: lease.Mark(),
		Queue: r.QueueSettings(lease.Queue), Results: []job.Result{c.Result}}}
}

// maxBatch is how many results one script call records: Redis serves no other client meanwhile.
const maxBatch = 100

// batchLength is how many of the first results can share a script call: those of one queue and group.
func batchLength(pending []*pendingResult) int {
	n := 1
	for n < min(len(pending), maxBatch) && pending[n].lease.Queue == pending[0].lease.Queue && pending[n].lease.Group == pending[0].lease.Group {
		n++
	}
	return n
}

// Report records an event for a worker without a lease. A terminal one is recorded in
// the job's state as well. ErrOutcomeUnknown: a status that is not terminal may or may
// not have been reported.
func (r *Recorder) Report(ctx context.Context, jobID string, result job.Result) (job.Recorded, error) {
	if err := job.CheckID("job_id", jobID); err != nil {
		return job.Recorded{}, err
	}
	if err := result.Check(); err != nil {
		return job.Recorded{}, err
	}
	if result.Part != "" && !result.Status.Terminal() {
		return job.Recorded{}, job.Invalid("part", "takes a terminal result only; report progress for the whole job, without a part")
	}
	var outcome Outcome
	queue := r.Settings.DefaultQueue
	r.complete(ctx, []*pendingResult{{lease: job.Lease{Queue: queue, JobID: jobID}, outcome: &outcome,
		Write: Write{JobID: jobID, Part: result.Part, Queue: r.QueueSettings(queue), Results: []job.Result{result}}}})
	return outcome.Recorded, outcome.Err
}

// complete runs the complete script for results of one queue and group, until it has no more questions. It
// sets their outcomes.
func (r *Recorder) complete(ctx context.Context, pending []*pendingResult) {
	now := time.Now()
	for len(pending) > 0 {
		replies, err := r.runComplete(ctx, newCompleteArgs(r.Shard, pending, now))
		if err != nil {
			for _, p := range pending {
				p.outcome.Err = err
			}
			return
		}
		asking := pending[:0]
		for i, p := range pending {
			switch reply := replies[i]; {
			case reply.Verdict != conn.VerdictAsk || !p.answer(reply.Question):
				p.outcome.Recorded, p.outcome.Err = r.completed(p.lease, reply)
			case p.asked > maxQuestions:
				p.outcome.Err = errContended(conn.CompleteScript)
			default:
				asking = append(asking, p)
			}
		}
		pending = asking
	}
}

// completed turns a reply of the complete script into an outcome, and notifies of what was written.
func (r *Recorder) completed(lease job.Lease, reply completeReply) (job.Recorded, error) {
	switch reply.Verdict {
	case conn.VerdictOK:
		r.watches.StateWritten(lease.JobID)
		r.watches.EventsWritten(lease.JobID)
		r.settler.Settled(lease)
		return job.Recorded{Cursor: reply.Detail}, nil
	case conn.VerdictAlready:
		r.settler.Settled(lease)
		return job.Recorded{Cursor: reply.Detail, Already: true}, nil
	case conn.VerdictFull:
		return job.Recorded{}, job.ErrTooManyEvents
	case conn.VerdictNoPart:
		return job.Recorded{}, job.Invalid("part", "is not one of the job's parts; they are named when its state is created")
	case conn.VerdictError:
		return job.Recorded{}, conn.Translate("complete", resp.ReplyError(reply.Detail), conn.Repeatable)
	}
	return job.Recorded{}, job.NewLeaseError(reply.Verdict)
}
