package result

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

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

// Outcome is what became of one of several completions.
type Outcome struct {
	job.Recorded
	Err error
}

// Complete records the one terminal result of a job, or of a part of it, and settles the
// task, in one step. Repeating it with the same token is safe. Errors: ErrInvalid,
// ErrLeaseToken, ErrLeaseLost: nothing was written.
func (r *Recorder) Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error) {
	outcomes := r.CompleteAll(ctx, []Completion{{token, result}})
	return outcomes[0].Recorded, outcomes[0].Err
}

// CompleteBatch is Complete for many tasks: one outcome for each, in their order.
func (r *Recorder) CompleteBatch(ctx context.Context, all []Completion) ([]Outcome, error) {
	if err := CheckCompletions(all); err != nil {
		return nil, err
	}
	return r.CompleteAll(ctx, all), nil
}

func CheckCompletions(all []Completion) error {
	if len(all) == 0 || len(all) > job.MaxBatch {
		return job.Invalid("requests", "has %d entries, want 1 to %d", len(all), job.MaxBatch)
	}
	return nil
}

// completing is a result on its way.
type completing struct {
	ResultWrite
	lease   job.Lease
	outcome *Outcome
}

func (r *Recorder) CompleteAll(ctx context.Context, all []Completion) []Outcome {
	outcomes := make([]Outcome, len(all))
	queued := make([]completing, 0, len(all))
	for i, c := range all {
		lease, err := r.ParseLease(c.Token)
		if err == nil {
			err = c.Result.Check()
		}
		if err == nil && !c.Result.Status.Terminal() {
			err = job.Invalid("status", "is %s, want a terminal one: completed, partial, failed or cancelled", c.Result.Status)
		}
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		queued = append(queued, completing{lease: lease, outcome: &outcomes[i], ResultWrite: ResultWrite{
			JobID: lease.JobID, Part: c.Result.Part, mark: lease.Mark(), Queue: r.QueueSettings(lease.Queue), Results: []job.Result{c.Result}}})
	}
	for len(queued) > 0 {
		// Those of one queue and group, in one script call.
		line := func(c completing) bool {
			return c.lease.Queue == queued[0].lease.Queue && c.lease.Group == queued[0].lease.Group
		}
		n := 0
		for n < len(queued) && n < completeChunk && line(queued[n]) {
			n++
		}
		r.complete(ctx, queued[:n], conn.Repeatable, "")
		queued = queued[n:]
	}
	return outcomes
}

// completeChunk is how many results one script call records: Redis does nothing else
// meanwhile.
const completeChunk = 100

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
		return job.Recorded{}, job.Invalid("part", "gets one result, a terminal one; progress is reported of the whole job")
	}
	unknown, most := conn.Once, strconv.Itoa(maxEvents)
	if result.Status.Terminal() {
		unknown, most = conn.Repeatable, ""
	}
	var outcome Outcome
	queue := r.Settings.DefaultQueue
	r.complete(ctx, []completing{{lease: job.Lease{Queue: queue, JobID: jobID}, outcome: &outcome, ResultWrite: ResultWrite{
		JobID: jobID, Part: result.Part, Queue: r.QueueSettings(queue), Results: []job.Result{result}}}}, unknown, most)
	return outcome.Recorded, outcome.Err
}

// maxEvents is how many events a job may have before its terminal one. They are never
// trimmed: a watch must not miss any.
const maxEvents = 1000

// complete runs the complete script for results of one queue and group, until it has no
// more questions.
func (r *Recorder) complete(ctx context.Context, all []completing, e conn.Effect, most string) {
	now := time.Now()
	for len(all) > 0 {
		replies, err := r.runComplete(ctx, all, e, most, now)
		if err != nil {
			for _, c := range all {
				c.outcome.Err = err
			}
			return
		}
		rest := all[:0]
		for i, c := range all {
			word, more := replies[2*i].Word, replies[2*i+1]
			switch {
			case word != "ASK" || !c.answer(more.List):
				c.outcome.Recorded, c.outcome.Err = r.completed(&c.lease, word, more.Word)
			case c.asked > maxQuestions:
				c.outcome.Err = errContended(conn.CompleteScript)
			default:
				rest = append(rest, c)
			}
		}
		all = rest
	}
}

// runComplete runs the script for results of one queue and group: two elements for each. A
// result alone shares the call with others that are on their way.
func (r *Recorder) runComplete(ctx context.Context, all []completing, e conn.Effect, most string, now time.Time) ([]resp.Element, error) {
	first := &all[0].lease
	unique, consumer := "", first.Consumer
	if all[0].Queue.UniqueJobs {
		unique = "unique"
	}
	low, high := first.EntryID, first.EntryID
	keys := make([]string, 0, 2+5*len(all))
	keys = append(keys, r.Keys.Tasks(first.Queue), r.Keys.Scratch())
	args := make(resp.Command, 0, completeArgs+24*len(all))
	args.Add(first.Group, most, strconv.Itoa(r.Settings.EventBytes), unique, "", "", "")
	args.Number(r.Settings.StateTTL.Milliseconds())
	args.Number(r.Settings.CompletionTTL.Milliseconds())
	parts := ""
	if slices.ContainsFunc(all, func(c completing) bool { return c.Part != "" }) {
		parts = "parts"
	}
	args.Add(r.Settings.DefaultGroup, parts)
	for i := range all {
		c := &all[i]
		keys = append(keys, r.Keys.State(c.JobID), r.Keys.Completion(c.JobID), r.Keys.Scan(c.JobID))
		if unique != "" {
			keys = append(keys, r.Keys.Active(c.JobID))
		}
		if parts != "" {
			keys = append(keys, r.Keys.Parts(c.JobID))
		}
		args.Add(c.lease.EntryID, c.lease.Consumer, strconv.Itoa(c.lease.Count))
		args = c.args(args, now)
		if i > 0 && job.CursorLess(c.lease.EntryID, low) {
			low = c.lease.EntryID
		}
		if i > 0 && job.CursorLess(high, c.lease.EntryID) {
			high = c.lease.EntryID
		}
		if c.lease.Consumer != consumer {
			consumer = ""
		}
	}
	if len(all) == 1 && all[0].Queue.WaitReplicas == 0 {
		return r.Batcher.Call(ctx, &conn.BatchedCall{Script: conn.CompleteScript, PerItem: 2,
			HeadKeys: keys[:completeKeys], Keys: keys[completeKeys:], HeadArgs: args[:completeArgs], Args: args[completeArgs:]}, e)
	}
	if len(all) > 2 {
		args[4], args[5], args[6] = consumer, low, high
	}
	reply, err := conn.CompleteScript.SendDurably(ctx, r.Conn, e, all[0].Queue, keys, args)
	if err != nil {
		return nil, err
	}
	if n := reply.List(); n != 2*len(all) {
		return nil, fmt.Errorf("complete: %d words for %d results", n, len(all))
	}
	answers := make([]resp.Element, 2*len(all))
	for i := range answers {
		answers[i] = reply.Element()
	}
	return answers, conn.Translate("complete", reply.Err, e)
}

// How many keys and arguments of the complete script are the same for all results.
const (
	completeKeys = 2
	completeArgs = 11
)

// completed is what a reply of the complete script means, and rings for it.
func (r *Recorder) completed(lease *job.Lease, word, more string) (job.Recorded, error) {
	switch word {
	case "OK":
		r.watches.StateWritten(lease.JobID)
		r.watches.EventsWritten(lease.JobID)
		fallthrough
	case "ALREADY":
		r.settler.Settled(*lease)
		return job.Recorded{Cursor: more, Already: word == "ALREADY"}, nil
	case "FULL":
		return job.Recorded{}, job.ErrTooManyEvents
	case "NO_PART":
		return job.Recorded{}, job.Invalid("part", "is none of the job's parts; they are named when its state is created")
	case "ERROR":
		return job.Recorded{}, conn.Translate("complete", resp.ReplyError(more), conn.Repeatable)
	}
	return job.Recorded{}, job.LeaseError(word)
}
