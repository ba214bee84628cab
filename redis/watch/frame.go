package watch

import "github.com/hikmaai-io/argus-queue/redis/job"

// Options say what to watch of a job.
type Options struct {
	// After is the cursor to start after; "" means from the first event.
	After string
	// State: report changes of the job's state too, the newest value of each field.
	State bool
}

// Frame is one report about one job: one of Snapshot, Event, State and Err.
type Frame struct {
	JobID string
	// Cursor is where to resume after this frame.
	Cursor   string
	Snapshot *Snapshot
	Event    *job.Event
	State    *StateChange
	// Err ends the watch of this job: *CursorExpiredError, ErrKeyType.
	Err error
	// Done: the job has its result, and its watch has ended.
	Done bool
}

// Snapshot is a job when its watch starts.
type Snapshot struct {
	// Known: the job has a state or events.
	Known bool
	// Status is by its state, or by its last event when it has no state.
	Status job.Status
}

// StateChange is what has changed in a job's state since the last one that was reported. The first
// one has the whole state.
type StateChange struct {
	Fields  map[string]string
	Removed []string
	// Truncated: the state is too large to be reported. The next change is relative to the last state
	// that was reported.
	Truncated bool
}
