package job

// Status is where a job is in its life: the word in the state's and the events' field
// "status". Raw peers may write any other word.
type Status string

// The statuses. The last four are terminal.
const (
	StatusPending   Status = "pending"
	StatusRunning   Status = "running"
	StatusCompleted Status = "completed"
	StatusPartial   Status = "partial"
	StatusFailed    Status = "failed"
	StatusCancelled Status = "cancelled"
)

// Terminal is true of a status that no other follows.
func (s Status) Terminal() bool {
	switch s {
	case StatusCompleted, StatusPartial, StatusFailed, StatusCancelled:
		return true
	}
	return false
}

// Known is true of the statuses above.
func (s Status) Known() bool {
	return s == StatusPending || s == StatusRunning || s.Terminal()
}
