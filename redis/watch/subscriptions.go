package watch

import (
	"github.com/hikmaai-io/argus-queue/redis/internal/notify"
	"github.com/hikmaai-io/argus-queue/redis/job"
)

// Subscriptions are the subscriptions of the watches of one prefix.
type Subscriptions struct {
	*notifySubscriptions
	keys job.Keys
}

func NewSubscriptions(k job.Keys) *Subscriptions {
	return &Subscriptions{notify.NewSubscriptions[*jobWatch, update](job.CursorLess), k}
}

// StateWritten notifies the watches of a job's state that this process has written.
func (w *Subscriptions) StateWritten(jobID string) {
	if !w.Pushed() {
		w.NotifyKey(w.keys.State(jobID))
	}
}

// EventsWritten notifies the watches of a job's events that this process has written.
func (w *Subscriptions) EventsWritten(jobID string) {
	if !w.Pushed() {
		w.NotifyKey(w.keys.Completion(jobID))
	}
}

// JobCancelled notifies the streams of workers that this process has cancelled a job.
func (w *Subscriptions) JobCancelled() { w.NotifyKey(w.keys.CancelledJobs()) }
