package queue

import (
	"context"
	"time"

	"github.com/hikmaai-io/argus-queue/redis/job"
)

// NackRequest ends a lease without a result.
type NackRequest struct {
	Token string
	// Delay is how long to wait before the task is delivered again; nil for the queue's back-off.
	Delay *time.Duration
	// DeadLetter moves the task to the dead letters: it is not delivered again.
	DeadLetter bool
	// Release releases the task as if it had not been delivered: it is due at once, keeps its place, and
	// no attempt is counted.
	Release bool
	// Reason is kept with the task.
	Reason string
}

// NackOutcome is the outcome of a Nack.
type NackOutcome string

// The outcomes.
const (
	NackRetry     NackOutcome = "RETRY"     // the task is delivered again
	NackDead      NackOutcome = "DEAD"      // it is among the dead letters, and its job has failed
	NackCancelled NackOutcome = "CANCELLED" // its job was cancelled; it is dropped
)

// Nacked is the outcome of a Nack.
type Nacked struct {
	Outcome NackOutcome
	// Delay is how long a task that is delivered again waits.
	Delay time.Duration
}

// Nack requeues a task at the end of its queue, now or later, or moves it to the dead letters. A task
// that was requeued as often as its queue allows goes to the dead letters. It keeps the number of its
// attempts. Errors: ErrInvalid, ErrLeaseToken, ErrLeaseLost.
func (s *Settler) Nack(ctx context.Context, r NackRequest) (Nacked, error) {
	lease, err := s.ParseLease(r.Token)
	if err != nil {
		return Nacked{}, err
	}
	if err := r.check(); err != nil {
		return Nacked{}, err
	}
	switch {
	case r.Release:
		return Nacked{Outcome: NackRetry}, s.releaseLeases(ctx, lease)
	case r.DeadLetter:
		return s.requeue(ctx, lease, requeueRequest{action: actionDead, cause: CauseRejected, reason: r.Reason})
	}
	return s.requeue(ctx, lease, requeueRequest{action: actionRetry, delay: r.Delay, reason: r.Reason})
}

func (r *NackRequest) check() error {
	if len(r.Reason) > job.MaxReasonBytes {
		return job.Invalid("reason", "has %d bytes, at most %d are allowed", len(r.Reason), job.MaxReasonBytes)
	}
	if r.Delay != nil {
		if err := job.CheckDelay("delay", *r.Delay); err != nil {
			return err
		}
	}
	switch {
	case r.Release && (r.DeadLetter || r.Delay != nil):
		return job.Invalid("release", "can't be combined with delay or dead_letter; choose one")
	case r.DeadLetter && r.Delay != nil:
		return job.Invalid("delay", "can't be combined with dead_letter; choose one")
	}
	return nil
}
