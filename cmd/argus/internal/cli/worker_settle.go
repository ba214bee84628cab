package cli

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/client"
	"github.com/hikmaai-io/argus-queue/cmd/argus/internal/output"
	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
)

// outcome is how a command ended.
type outcome int

const (
	succeeded outcome = iota
	failed
	retried  // the command asks for a retry
	released // the worker itself stops
	leaseLost
	cancelled
	unfit // the command can't be started on this machine
)

// outcomeWords has the outcomes for people.
var outcomeWords = map[outcome]string{succeeded: "completed", failed: "failed", retried: "to be retried", released: "requeued",
	unfit: "requeued", leaseLost: "lost", cancelled: "cancelled"}

// execution is how the command of a task ended, and what it left.
type execution struct {
	outcome outcome
	stdout  string // of a command that succeeded
	message string // why it did not
}

// outcomeCounts counts tasks by their outcome.
type outcomeCounts struct {
	completed, failed, retried, lost, cancelled atomic.Int64
}

func (c *outcomeCounts) add(o outcome) {
	switch o {
	case succeeded:
		c.completed.Add(1)
	case failed:
		c.failed.Add(1)
	case retried, released, unfit:
		c.retried.Add(1)
	case leaseLost:
		c.lost.Add(1)
	case cancelled:
		c.cancelled.Add(1)
	}
}

// Bounds of texts that a result or a task keeps.
const (
	maxMessage = 64 << 10
	maxReason  = 4 << 10
	maxStdout  = 64 << 10
)

// settle records how the command ended, also while the worker stops, and returns the outcome for
// the log. A task that could not be settled counts as lost: it is delivered again.
func (w *worker) settle(ctx context.Context, d *argusv1.Delivery, ran *execution) execution {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), client.RetryFor)
	defer cancel()
	err := w.Retry(ctx, func() error { return w.report(ctx, d, ran) })
	if client.HasReason(err, "INVALID_ARGUMENT") { // no repetition of this result succeeds
		ran.outcome, ran.message = failed, w.ExitError(err).Error()
		_, err = w.Queue.Nack(ctx, &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), DeadLetter: true, Reason: clip(ran.message, maxReason)})
	}
	if err == nil {
		return *ran
	}
	message := w.ExitError(err).Error()
	if !client.HasReason(err, "LEASE_LOST") {
		job := d.GetTask().GetJobId()
		w.log.warn(fmt.Sprintf("job %s: %s", output.ID(job), message), "not settled", "job_id", job, "error", message)
	}
	return execution{outcome: leaseLost, message: message}
}

// report sends the outcome to the server.
func (w *worker) report(ctx context.Context, d *argusv1.Delivery, ran *execution) error {
	switch ran.outcome {
	case leaseLost:
		return nil
	case retried, released, unfit:
		return w.giveBack(ctx, d, ran)
	}
	request := &argusv1.CompleteRequest{LeaseToken: d.GetLeaseToken(), Status: argusv1.JobStatus_JOB_STATUS_COMPLETED, Part: d.GetTask().GetPart()}
	switch ran.outcome {
	case failed:
		request.Status, request.ErrorMessage = argusv1.JobStatus_JOB_STATUS_FAILED, clip(ran.message, maxMessage)
	case cancelled:
		request.Status = argusv1.JobStatus_JOB_STATUS_CANCELLED
	}
	if ran.stdout != "" {
		request.Fields = map[string]string{"output": ran.stdout}
	}
	_, err := w.Queue.Complete(ctx, request)
	return err
}

// giveBack gives the task back: as tried, or as it was before the delivery. The queue may give it up
// instead, or its job may be cancelled; then the outcome says so.
func (w *worker) giveBack(ctx context.Context, d *argusv1.Delivery, ran *execution) error {
	request := &argusv1.NackRequest{LeaseToken: d.GetLeaseToken(), Release: ran.outcome != retried}
	if ran.outcome == retried {
		request.Reason = clip(ran.message, maxReason)
	}
	if ran.outcome == retried && w.retryDelay > 0 {
		request.Delay = durationpb.New(w.retryDelay)
	}
	response, err := w.Queue.Nack(ctx, request)
	switch response.GetOutcome() {
	case argusv1.NackOutcome_NACK_OUTCOME_DEAD:
		ran.outcome = failed
	case argusv1.NackOutcome_NACK_OUTCOME_CANCELLED:
		ran.outcome = cancelled
	}
	return err
}

// clip shortens text that may be too long for a field, or not be UTF-8.
func clip(text string, most int) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") // without the part of a character
	}
	return text
}
