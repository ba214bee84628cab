package job

// Status is the position of a job in its life, as the field "status" of its state and of its events says.
// Raw peers may write any other word.
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

// Terminal reports whether no other status follows this one.
func (s Status) Terminal() bool {
	switch s {
	case StatusCompleted, StatusPartial, StatusFailed, StatusCancelled:
		return true
	}
	return false
}

// Known reports whether the status is one of the constants.
func (s Status) Known() bool {
	return s == StatusPending || s == StatusRunning || s.Terminal()
}
