package watch

import (
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

type (
	notifySubscriptions = notify.Subscriptions[*jobWatch, update]
	subscription        = notify.Subscription[*jobWatch, update]
	notification        = notify.Notification[*jobWatch, update]
)

// update is what was read of a key for all its watches: the reply to a read of a stream, or a state.
// It is shared, so it must not be changed.
type update struct {
	streamRead
	raw   string
	state *stateUpdate
	// seq orders the updates of one key: the later one has the higher number.
	seq int64
}

// Subscriptions are the subscriptions of the watches of one prefix.
type Subscriptions struct {
	*notifySubscriptions
	keys job.Keys
}

// NewSubscriptions returns an empty set.
func NewSubscriptions(k job.Keys) *Subscriptions {
	return &Subscriptions{notify.NewSubscriptions[*jobWatch, update](job.CursorLess), k}
}

// StateWritten notifies the watches of a job's state that this process has written it. While changes
// are pushed it does nothing: the push follows.
func (s *Subscriptions) StateWritten(jobID string) {
	if !s.Pushed() {
		s.NotifyKey(s.keys.State(jobID))
	}
}

// EventsWritten notifies the watches of a job's events that this process has written one, as
// StateWritten does.
func (s *Subscriptions) EventsWritten(jobID string) {
	if !s.Pushed() {
		s.NotifyKey(s.keys.Completion(jobID))
	}
}

// JobCancelled notifies the streams of workers that this process has cancelled a job.
func (s *Subscriptions) JobCancelled() { s.NotifyKey(s.keys.Tenant().CancelledJobs()) }
