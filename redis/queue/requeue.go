package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// Causes of death of a task.
const (
	CauseMaxAttempts = "max_attempts" // requeued too often
	CauseMaxCrashes  = "max_crashes"  // its lease expired too often
	CauseRejected    = "rejected"     // a worker moved it to the dead letters
	CauseMalformed   = "malformed"    // an entry that is not a task
)

// requeueAction is what the nack script does with a task.
type requeueAction string

const (
	actionRetry     requeueAction = "retry"     // to the end of its queue
	actionDead      requeueAction = "dead"      // to the dead letters
	actionLost      requeueAction = "lost"      // to the dead letters; this delivery reached no worker
	actionCancelled requeueAction = "cancelled" // drop it
)

// requeueRequest is how to end a lease without a result.
type requeueRequest struct {
	action requeueAction
	delay  *time.Duration // nil for the queue's back-off
	reason string
	cause  string
}

// requeue ends a lease without a result: by a retry, a dead letter, or because the job was cancelled.
func (s *Settler) requeue(ctx context.Context, lease job.Lease, r requeueRequest) (Nacked, error) {
	config := s.QueueSettings(lease.Queue)
	args := nackArgs{Lease: lease, Action: r.action, Delay: r.delay, Reason: r.reason, DeadTTL: s.Settings.DeadLetterTTL, Unique: uuid.NewString(),
		MaxFailures: config.MaxAttempts, MinBackoff: config.RetryMin, MaxBackoff: config.RetryMax, Random: rand.Float64(), Cause: r.cause,
		Fairness: s.Fairness(lease.Queue), DefaultGroup: s.Settings.DefaultGroup, MarkTTL: s.UniqueTTL(config)}
	write := result.Write{JobID: lease.JobID, Queue: config, Results: []job.Result{
		{Status: job.StatusFailed, Error: r.failureMessage(config)}, {Status: job.StatusCancelled}}}
	reply, err := args.run(ctx, s.Shard, s.recorder, write)
	if err != nil {
		return Nacked{}, err
	}
	s.scheduler.Settled(lease)
	switch reply.Verdict {
	case conn.VerdictRetry:
		s.notifyRequeued(lease, reply.Delay)
		return Nacked{Outcome: NackRetry, Delay: reply.Delay}, nil
	case conn.VerdictDead:
		s.Log.Warn("a task went to the dead letters", "queue", lease.Queue, "job_id", lease.JobID, "message_id", lease.EntryID, "cause", r.diagnosis(config))
		return Nacked{Outcome: NackDead}, nil
	case conn.VerdictCancelled:
		return Nacked{Outcome: NackCancelled}, nil
	}
	return Nacked{}, job.NewLeaseError(reply.Verdict)
}

func (s *Settler) notifyRequeued(lease job.Lease, delay time.Duration) {
	if delay > 0 {
		s.scheduler.due.set(delay)
	} else {
		s.waiters.NotifyEach(s.Keys.Tasks(lease.Queue), 1)
	}
}

// failureMessage is the error message of a job whose task dies.
func (r requeueRequest) failureMessage(config job.QueueSettings) string {
	text := r.diagnosis(config)
	if r.reason != "" {
		text += ": " + r.reason
	}
	return text
}

// diagnosis says why a task dies, without the reason that its worker gave.
func (r requeueRequest) diagnosis(config job.QueueSettings) string {
	switch {
	case r.action == actionRetry:
		return fmt.Sprintf("gave up after %d attempts", config.MaxAttempts)
	case r.cause == CauseMaxCrashes:
		return fmt.Sprintf("gave up after %d workers vanished with it", config.MaxCrashes)
	}
	return "rejected"
}
