package redis

import (
	"context"
	"strconv"

	goredis "github.com/redis/go-redis/v9"
)

// The terminal event is the record of a job's result. What this service writes, it writes to
// event and state in one step; a raw worker may append its event and leave the state as it
// was. Reads then answer by the event, and whoever sees the difference first has the stored
// status corrected.

// healQueue is how many states may wait to be corrected. What finds no room is left to the
// next one that sees it.
const healQueue = 1024

// contradicts is true of a result that says other than a stored status.
func contradicts(stored Status, result *Event) bool {
	return result != nil && result.Status.Terminal() && stored != result.Status
}

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

// resultBeside finds the result of a job with a stored status, given the newest of its events,
// if it has any. A stored status that is terminal is only compared with the newest event:
// just a raw peer can have appended anything behind a result.
func (b *Broker) resultBeside(ctx context.Context, jobID string, stored Status, newest []goredis.XMessage) (*Event, error) {
	if len(newest) == 0 {
		return nil, nil
	}
	event := decodeEvent(jobID, newest[0].ID, textFields(newest[0].Values))
	switch {
	case event.Status.Terminal():
		return &event, nil
	case stored.Terminal():
		return nil, nil
	}
	return b.result(ctx, jobID)
}
