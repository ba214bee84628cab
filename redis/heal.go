package redis

import (
	"context"
	"strconv"
)

// The terminal event is the record of a job's result. What this service writes, it writes to
// event and state in one step; a raw worker may append its event and leave the state as it
// was. Reads then answer by the event, and the first read that sees the difference has the stored
// status corrected.

// healQueue is how many states may wait to be corrected. What finds no room is left to the
// next one that sees it.
const healQueue = 1024

// toHeal has a job's stored status corrected, in the background.
func (b *Broker) toHeal(jobID string) {
	select {
	case b.stale <- jobID:
	default:
	}
}

// healStates corrects states until ctx ends.
func (b *Broker) healStates(ctx context.Context) {
	for {
		select {
		case job := <-b.stale:
			if err := b.heal(ctx, job); err != nil && ctx.Err() == nil {
				b.log.Debug("could not correct a job's status", "job_id", job, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// heal corrects the state of a job that has a result. Which one that is is looked up: what was
// seen may be a later terminal event, of which there should be none, or be withdrawn by now.
func (b *Broker) heal(ctx context.Context, jobID string) error {
	result, err := b.result(ctx, jobID)
	if err != nil || result == nil {
		return err
	}
	completedAt := ""
	if !result.CompletedAt.IsZero() {
		completedAt = strconv.FormatInt(result.CompletedAt.Unix(), 10)
	}
	word, err := healScript.word(ctx, b.client, repeatable, []string{b.keys.state(jobID), b.keys.completion(jobID)},
		result.Cursor, string(result.Status), completedAt)
	if word == "HEALED" {
		b.ringState(jobID)
	}
	return err
}
