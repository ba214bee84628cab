package queue

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/hikmaai-io/argus-queue/redis/internal/conn"
	"github.com/hikmaai-io/argus-queue/redis/internal/resp"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// NackRequest gives a task back.
type NackRequest struct {
	Token string
	// Delay is how long to leave the task; nil means the queue's back-off.
	Delay *time.Duration
	// DeadLetter puts the task to the dead letters: it is not delivered again.
	DeadLetter bool
	// Release gives the task back as if it had not been delivered: at once, in its old
	// place, and without counting an attempt.
	Release bool
	// Reason is kept with the task.
	Reason string
}

// NackOutcome is what became of a task that was given back.
type NackOutcome string

// The outcomes.
const (
	NackRetry     NackOutcome = "RETRY"     // it is delivered again
	NackDead      NackOutcome = "DEAD"      // it is among the dead letters, and its job has failed
	NackCancelled NackOutcome = "CANCELLED" // its job was cancelled; it is gone
)

// Nacked says what became of a task.
type Nacked struct {
	Outcome NackOutcome
	// Delay is how long a task that is delivered again waits.
	Delay time.Duration
}

// Nack gives a task back: to the end of its queue, now or later, or to the dead letters.
// A task that was given back as often as its queue allows goes to the dead letters. The
// attempts so far go with it. Errors: ErrLeaseToken, ErrLeaseLost.
func (s *Settler) Nack(ctx context.Context, r NackRequest) (Nacked, error) {
	lease, err := s.ParseLease(r.Token)
	if err != nil {
		return Nacked{}, err
	}
	if len(r.Reason) > job.MaxReasonBytes {
		return Nacked{}, job.Invalid("reason", "has %d bytes, at most %d are allowed", len(r.Reason), job.MaxReasonBytes)
	}
	if r.Delay != nil {
		if err := job.CheckDelay("delay", *r.Delay); err != nil {
			return Nacked{}, err
		}
	}
	switch {
	case r.Release && (r.DeadLetter || r.Delay != nil):
		return Nacked{}, job.Invalid("release", "can't be combined with delay or dead_letter; choose one")
	case r.Release:
		return Nacked{Outcome: NackRetry}, s.releaseLeases(ctx, lease)
	case r.DeadLetter && r.Delay != nil:
		return Nacked{}, job.Invalid("delay", "can't be combined with dead_letter; choose one")
	case r.DeadLetter:
		return s.requeue(ctx, lease, requeueRequest{action: "dead", cause: CauseRejected, reason: r.Reason})
	}
	return s.requeue(ctx, lease, requeueRequest{action: "retry", delay: r.Delay, reason: r.Reason})
}

// Causes of death of a task.
const (
	CauseMaxAttempts = "max_attempts" // given back too often
	CauseMaxCrashes  = "max_crashes"  // too many workers vanished with it
	CauseRejected    = "rejected"     // a worker said so
	CauseMalformed   = "malformed"    // an entry that is no task
)

// requeueRequest is what the nack script does with a task.
type requeueRequest struct {
	action string
	delay  *time.Duration
	reason string
	cause  string
}

func (s *Settler) requeue(ctx context.Context, lease job.Lease, g requeueRequest) (Nacked, error) {
	config := s.QueueSettings(lease.Queue)
	delay := ""
	if g.delay != nil {
		delay = fmt.Sprint(g.delay.Milliseconds())
	}
	keys := []string{s.Keys.Tasks(lease.Queue), s.Keys.Delayed(lease.Queue), s.Keys.DelayedQueues(),
		s.Keys.DeadLetters(lease.Queue), s.Keys.CancelledJobs(), s.Keys.Uncounted(lease.Queue)}
	fairKeys, fairness := s.Fair(lease.Queue)
	keys = append(keys, fairKeys...)
	head := append([]any{lease.Group}, lease.Args()...)
	head = append(head, g.action, delay, g.reason, lease.Queue, lease.JobID, s.Settings.DeadLetterTTL.Milliseconds(),
		uuid.NewString(), config.MaxAttempts, config.RetryMin.Milliseconds(), config.RetryMax.Milliseconds(),
		rand.Float64(), g.cause, fairness, s.Settings.DefaultGroup, s.UniqueTTL(config))
	r := result.Write{JobID: lease.JobID, Queue: config, Results: []job.Result{
		{Status: job.StatusFailed, Error: g.failureMessage(config)}, {Status: job.StatusCancelled}}}
	reply, err := s.recorder.Record(ctx, conn.NackScript, conn.Repeatable, r, keys, head)
	if err != nil {
		return Nacked{}, err
	}
	s.scheduler.Settled(lease)
	switch reply[0] {
	case "RETRY":
		ms, err := resp.Number(reply[1])
		due := time.Duration(ms) * time.Millisecond
		if due > 0 {
			s.scheduler.due.set(due)
		} else {
			s.waiters.NotifyEach(keys[0], 1)
		}
		return Nacked{Outcome: NackRetry, Delay: due}, err
	case "DEAD":
		s.Log.Warn("a task went to the dead letters", "queue", lease.Queue, "job_id", lease.JobID, "message_id", lease.EntryID, "cause", g.cause_(config))
		return Nacked{Outcome: NackDead}, nil
	case "CANCELLED":
		return Nacked{Outcome: NackCancelled}, nil
	}
	return Nacked{}, job.NewLeaseError(reply[0])
}

// failureMessage is the error message of a job whose task dies.
func (g requeueRequest) failureMessage(config job.QueueSettings) string {
	text := g.cause_(config)
	if g.reason != "" {
		text += ": " + g.reason
	}
	return text
}

// cause_ says why a task dies, without the words of its worker.
func (g requeueRequest) cause_(config job.QueueSettings) string {
	switch {
	case g.action == "retry":
		return fmt.Sprintf("gave up after %d attempts", config.MaxAttempts)
	case g.cause == CauseMaxCrashes:
		return fmt.Sprintf("gave up after %d workers vanished with it", config.MaxCrashes)
	}
	return "rejected"
}
