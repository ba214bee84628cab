package redis

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"
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

// MaxReasonBytes is how long the reason of a Nack may be.
const MaxReasonBytes = 4 << 10

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
func (b *Broker) Nack(ctx context.Context, r NackRequest) (Nacked, error) {
	lease, err := b.parseLease(r.Token)
	if err != nil {
		return Nacked{}, err
	}
	if len(r.Reason) > MaxReasonBytes {
		return Nacked{}, invalid("reason", "has %d bytes, at most %d are allowed", len(r.Reason), MaxReasonBytes)
	}
	if r.Delay != nil {
		if err := CheckDelay("delay", *r.Delay); err != nil {
			return Nacked{}, err
		}
	}
	switch {
	case r.Release && (r.DeadLetter || r.Delay != nil):
		return Nacked{}, invalid("release", "can't be combined with delay or dead_letter; choose one")
	case r.Release:
		return Nacked{Outcome: NackRetry}, b.giveUp(ctx, lease)
	case r.DeadLetter && r.Delay != nil:
		return Nacked{}, invalid("delay", "can't be combined with dead_letter; choose one")
	case r.DeadLetter:
		return b.giveBack(ctx, lease, giveBack{action: "dead", cause: CauseRejected, reason: r.Reason})
	}
	return b.giveBack(ctx, lease, giveBack{action: "retry", delay: r.Delay, reason: r.Reason})
}

// Causes of death of a task.
const (
	CauseMaxAttempts = "max_attempts" // given back too often
	CauseMaxCrashes  = "max_crashes"  // too many workers vanished with it
	CauseRejected    = "rejected"     // a worker said so
	CauseMalformed   = "malformed"    // an entry that is no task
)

// giveBack is what the nack script does with a task.
type giveBack struct {
	action string
	delay  *time.Duration
	reason string
	cause  string
}

func (b *Broker) giveBack(ctx context.Context, lease Lease, g giveBack) (Nacked, error) {
	config := b.queueConfig(lease.Queue)
	delay := ""
	if g.delay != nil {
		delay = fmt.Sprint(g.delay.Milliseconds())
	}
	keys := []string{b.keys.tasks(lease.Queue), b.keys.delayed(lease.Queue), b.keys.delayedQueues(),
		b.keys.deadLetters(lease.Queue), b.keys.cancelledJobs(), b.keys.uncounted(lease.Queue)}
	fairKeys, fairness := b.fair(lease.Queue)
	keys = append(keys, fairKeys...)
	head := append([]any{lease.Group}, lease.args()...)
	head = append(head, g.action, delay, g.reason, lease.Queue, lease.JobID, b.config.DeadLetterTTL.Milliseconds(),
		uuid.NewString(), config.MaxAttempts, config.RetryMin.Milliseconds(), config.RetryMax.Milliseconds(),
		rand.Float64(), g.cause, fairness, b.config.DefaultGroup, b.uniqueTTL(config))
	r := recording{jobID: lease.JobID, queue: config, results: []Result{
		{Status: StatusFailed, Error: g.epitaph(config)}, {Status: StatusCancelled}}}
	reply, err := b.record(ctx, nackScript, repeatable, r, keys, head)
	if err != nil {
		return Nacked{}, err
	}
	b.settled(lease)
	switch reply[0] {
	case "RETRY":
		ms, err := number(reply[1])
		due := time.Duration(ms) * time.Millisecond
		if due > 0 {
			b.due.set(due)
		} else {
			b.waiters.NotifyEach(keys[0], 1)
		}
		return Nacked{Outcome: NackRetry, Delay: due}, err
	case "DEAD":
		b.log.Warn("a task went to the dead letters", "queue", lease.Queue, "job_id", lease.JobID, "message_id", lease.EntryID, "cause", g.end(config))
		return Nacked{Outcome: NackDead}, nil
	case "CANCELLED":
		return Nacked{Outcome: NackCancelled}, nil
	}
	return Nacked{}, leaseError(reply[0])
}

// leaseError is why a script did not act under a lease.
func leaseError(word string) error {
	switch word {
	case "OTHER_JOB":
		return fmt.Errorf("%w: it is for another job", ErrLeaseToken)
	case "OTHER_PART":
		return invalid("part", "is not the part of its job that the task is")
	}
	return ErrLeaseLost
}

// epitaph is the error message of a job whose task dies.
func (g giveBack) epitaph(config QueueConfig) string {
	text := g.end(config)
	if g.reason != "" {
		text += ": " + g.reason
	}
	return text
}

// end says why a task dies, without the words of its worker.
func (g giveBack) end(config QueueConfig) string {
	switch {
	case g.action == "retry":
		return fmt.Sprintf("gave up after %d attempts", config.MaxAttempts)
	case g.cause == CauseMaxCrashes:
		return fmt.Sprintf("gave up after %d workers vanished with it", config.MaxCrashes)
	}
	return "rejected"
}
