package redis

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// Completion is a task's result, by the token of its lease.
type Completion struct {
	Token  string
	Result Result
}

// Outcome is what became of one of several completions.
type Outcome struct {
	Recorded
	Err error
}

// Complete records the one terminal result of a job, or of a part of it, and settles the
// task, in one step. Repeating it with the same token is safe. Errors: ErrInvalid,
// ErrLeaseToken, ErrLeaseLost: nothing was written.
func (b *Broker) Complete(ctx context.Context, token string, result Result) (Recorded, error) {
	outcomes := b.completeBatch(ctx, []Completion{{token, result}})
	return outcomes[0].Recorded, outcomes[0].Err
}

// CompleteBatch is Complete for many tasks: one outcome for each, in their order.
func (b *Broker) CompleteBatch(ctx context.Context, all []Completion) ([]Outcome, error) {
	if err := checkCompletions(all); err != nil {
		return nil, err
	}
	return b.completeBatch(ctx, all), nil
}

func checkCompletions(all []Completion) error {
	if len(all) == 0 || len(all) > MaxBatch {
		return invalid("requests", "has %d entries, want 1 to %d", len(all), MaxBatch)
	}
	return nil
}

// completing is a result on its way.
type completing struct {
	recording
	lease   Lease
	outcome *Outcome
}

func (b *Broker) completeBatch(ctx context.Context, all []Completion) []Outcome {
	outcomes := make([]Outcome, len(all))
	queued := make([]completing, 0, len(all))
	for i, c := range all {
		lease, err := b.parseLease(c.Token)
		if err == nil {
			err = c.Result.check()
		}
		if err == nil && !c.Result.Status.Terminal() {
			err = invalid("status", "is %s, want a terminal one: completed, partial, failed or cancelled", c.Result.Status)
		}
		if err != nil {
			outcomes[i].Err = err
			continue
		}
		queued = append(queued, completing{lease: lease, outcome: &outcomes[i], recording: recording{
			jobID: lease.JobID, part: c.Result.Part, mark: lease.mark(), queue: b.queueConfig(lease.Queue), results: []Result{c.Result}}})
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
		b.complete(ctx, queued[:n], repeatable, "")
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
func (b *Broker) Report(ctx context.Context, jobID string, result Result) (Recorded, error) {
	if err := CheckID("job_id", jobID); err != nil {
		return Recorded{}, err
	}
	if err := result.check(); err != nil {
		return Recorded{}, err
	}
	if result.Part != "" && !result.Status.Terminal() {
		return Recorded{}, invalid("part", "gets one result, a terminal one; progress is reported of the whole job")
	}
	unknown, most := once, strconv.Itoa(maxEvents)
	if result.Status.Terminal() {
		unknown, most = repeatable, ""
	}
	var outcome Outcome
	queue := b.config.DefaultQueue
	b.complete(ctx, []completing{{lease: Lease{Queue: queue, JobID: jobID}, outcome: &outcome, recording: recording{
		jobID: jobID, part: result.Part, queue: b.queueConfig(queue), results: []Result{result}}}}, unknown, most)
	return outcome.Recorded, outcome.Err
}

// maxEvents is how many events a job may have before its terminal one. They are never
// trimmed: a watch must not miss any.
const maxEvents = 1000

// DefaultEventBytes is how large the events of a job may be before its terminal one, all
// together: names and values.
const DefaultEventBytes = 8 << 20

// complete runs the complete script for results of one queue and group, until it has no
// more questions.
func (b *Broker) complete(ctx context.Context, all []completing, e effect, most string) {
	now := time.Now()
	for len(all) > 0 {
		replies, err := b.runComplete(ctx, all, e, most, now)
		if err != nil {
			for _, c := range all {
				c.outcome.Err = err
			}
			return
		}
		rest := all[:0]
		for i, c := range all {
			word, more := replies[2*i].word, replies[2*i+1]
			switch {
			case word != "ASK" || !c.answer(more.list):
				c.outcome.Recorded, c.outcome.Err = b.completed(&c.lease, word, more.word)
			case c.asked > maxQuestions:
				c.outcome.Err = errRestless(completeScript)
			default:
				rest = append(rest, c)
			}
		}
		all = rest
	}
}

// runComplete runs the script for results of one queue and group: two elements for each. A
// result alone shares the call with others that are on their way.
func (b *Broker) runComplete(ctx context.Context, all []completing, e effect, most string, now time.Time) ([]element, error) {
	first := &all[0].lease
	unique, consumer := "", first.Consumer
	if all[0].queue.UniqueJobs {
		unique = "unique"
	}
	low, high := first.EntryID, first.EntryID
	keys := make([]string, 0, 2+5*len(all))
	keys = append(keys, b.keys.tasks(first.Queue), b.keys.scratch())
	args := make(words, 0, completeArgs+24*len(all))
	args.add(first.Group, most, strconv.Itoa(b.config.EventBytes), unique, "", "", "")
	args.number(b.config.StateTTL.Milliseconds())
	args.number(b.config.CompletionTTL.Milliseconds())
	parts := ""
	if slices.ContainsFunc(all, func(c completing) bool { return c.part != "" }) {
		parts = "parts"
	}
	args.add(b.config.DefaultGroup, parts)
	for i := range all {
		c := &all[i]
		keys = append(keys, b.keys.state(c.jobID), b.keys.completion(c.jobID), b.keys.scan(c.jobID))
		if unique != "" {
			keys = append(keys, b.keys.active(c.jobID))
		}
		if parts != "" {
			keys = append(keys, b.keys.parts(c.jobID))
		}
		args.add(c.lease.EntryID, c.lease.Consumer, strconv.Itoa(c.lease.Count))
		args = c.args(args, now)
		if i > 0 && cursorLess(c.lease.EntryID, low) {
			low = c.lease.EntryID
		}
		if i > 0 && cursorLess(high, c.lease.EntryID) {
			high = c.lease.EntryID
		}
		if c.lease.Consumer != consumer {
			consumer = ""
		}
	}
	if len(all) == 1 && b.client.pipeliner != nil && all[0].queue.WaitReplicas == 0 {
		return b.client.pipeliner.call(ctx, &share{script: completeScript, perItem: 2,
			headKeys: keys[:completeKeys], keys: keys[completeKeys:], headArgs: args[:completeArgs], args: args[completeArgs:]}, e)
	}
	if len(all) > 2 {
		args[4], args[5], args[6] = consumer, low, high
	}
	reply, err := completeScript.durably(ctx, b.client, e, all[0].queue, keys, args)
	if err != nil {
		return nil, err
	}
	if n := reply.list(); n != 2*len(all) {
		return nil, fmt.Errorf("complete: %d words for %d results", n, len(all))
	}
	answers := make([]element, 2*len(all))
	for i := range answers {
		answers[i] = reply.element()
	}
	return answers, translate("complete", reply.err, e)
}

// How many keys and arguments of the complete script are the same for all results.
const (
	completeKeys = 2
	completeArgs = 11
)

// completed is what a reply of the complete script means, and rings for it.
func (b *Broker) completed(lease *Lease, word, more string) (Recorded, error) {
	switch word {
	case "OK":
		b.ringState(lease.JobID)
		b.ringEvents(lease.JobID)
		fallthrough
	case "ALREADY":
		b.settled(*lease)
		return Recorded{Cursor: more, Already: word == "ALREADY"}, nil
	case "FULL":
		return Recorded{}, ErrTooManyEvents
	case "NO_PART":
		return Recorded{}, invalid("part", "is none of the job's parts; they are named when its state is created")
	case "ERROR":
		return Recorded{}, translate("complete", replyError(more), repeatable)
	}
	return Recorded{}, leaseError(word)
}
