package history

import "slices"

// Stored is what Redis holds at the end of a run.
type Stored struct {
	// Events are the completion events of each job, in order.
	Events map[string][]StoredEvent
	// Queued are the jobs with a task that is waiting, leased, delayed or a dead letter.
	Queued map[string]bool
	// FairLimit is the maximum of tasks in flight per organization; 0 means no limit.
	FairLimit int
}

// StoredEvent is a completion event.
type StoredEvent struct {
	Cursor, Status string
}

// Terminal reports whether the event is a job's result.
func (e StoredEvent) Terminal() bool { return isTerminal(e.Status) }

func isTerminal(status string) bool {
	return slices.Contains([]string{"completed", "partial", "failed", "cancelled"}, status)
}
