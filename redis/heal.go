package redis

import (
	"context"
	"strconv"
)

// The terminal event is the record of a job's result. What this service writes, it writes to
// event and state in one step; a raw worker may append its event and leave the state as it
// was. Reads then answer by the event, and whoever sees the difference first has the stored
// status corrected.

// healQueue is how many states may wait to be corrected. What finds no room is left to the
// next one that sees it.
const healQueue = 1024

// toHeal has a job's stored status corrected, in the background.
func (b *Broker) toHeal(result Event) {
	select {
	case b.stale <- result:
	default:
	}
}

// healStates corrects states until ctx ends.
func (b *Broker) healStates(ctx context.Context) {
	for {
		select {
		case result := <-b.stale:
			if err := b.heal(ctx, result); err != nil && ctx.Err() == nil {
				b.log.Debug("could not correct a job's status", "job_id", result.JobID, "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}

// heal corrects one state, if its job still has that result.
func (b *Broker) heal(ctx context.Context, result Event) error {
	completedAt := ""
	if !result.CompletedAt.IsZero() {
		completedAt = strconv.FormatInt(result.CompletedAt.Unix(), 10)
	}
	word, err := healScript.word(ctx, b.client, repeatable, []string{b.keys.state(result.JobID), b.keys.completion(result.JobID)},
		result.Cursor, string(result.Status), completedAt)
	if word == "HEALED" {
		b.ringState(result.JobID)
	}
	return err
}
