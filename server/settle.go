package server

import (
	"context"
	"errors"

	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/result"
)

// Settler ends leases.
type Settler interface {
	Ack(ctx context.Context, tokens []string) ([]queue.AckResult, error)
	Nack(ctx context.Context, r queue.NackRequest) (queue.Nacked, error)
	Complete(ctx context.Context, token string, result job.Result) (job.Recorded, error)
	CompleteBatch(ctx context.Context, all []result.Completion) ([]result.Outcome, error)
}

// The RPCs that settle return the credit of the leases to the Consume streams that delivered
// them. The methods in lower case are what they share with Consume, which does so itself.

func (q *taskQueue) Ack(ctx context.Context, r *argusv1.AckRequest) (*argusv1.AckResponse, error) {
	response, err := q.ack(ctx, r)
	if err == nil {
		q.streams.settle(r.GetLeaseTokens()...)
	}
	return response, err
}

func (q *taskQueue) Nack(ctx context.Context, r *argusv1.NackRequest) (*argusv1.NackResponse, error) {
	response, err := q.nack(ctx, r)
	if isSettled(err) {
		q.streams.settle(r.GetLeaseToken())
	}
	return response, err
}

func (q *taskQueue) Complete(ctx context.Context, r *argusv1.CompleteRequest) (*argusv1.CompleteResponse, error) {
	response, err := q.complete(ctx, r)
	if isSettled(err) {
		q.streams.settle(r.GetLeaseToken())
	}
	return response, err
}

func (q *taskQueue) CompleteBatch(ctx context.Context, r *argusv1.CompleteBatchRequest) (*argusv1.CompleteBatchResponse, error) {
	response, err := q.completeBatch(ctx, r)
	if err == nil {
		q.streams.settle(settledBy(r, response)...)
	}
	return response, err
}

// isSettled is true of the result of a request after which the worker no longer holds the lease.
func isSettled(err error) bool { return err == nil || errors.Is(err, job.ErrLeaseLost) }

// settledBy lists the leases of a batch that the worker no longer holds.
func settledBy(r *argusv1.CompleteBatchRequest, response *argusv1.CompleteBatchResponse) []string {
	var settled []string
	for i, o := range response.GetOutcomes() {
		if o.GetFailure() == nil || o.GetFailure().GetReason() == argusv1.ErrorReason_ERROR_REASON_LEASE_LOST {
			settled = append(settled, r.GetRequests()[i].GetLeaseToken())
		}
	}
	return settled
}

func (q *taskQueue) ack(ctx context.Context, r *argusv1.AckRequest) (*argusv1.AckResponse, error) {
	results, err := q.tasks.Ack(ctx, r.GetLeaseTokens())
	if err != nil {
		return nil, err
	}
	response := &argusv1.AckResponse{}
	for i, res := range results {
		response.Results = append(response.Results, &argusv1.AckResult{
			LeaseToken: r.GetLeaseTokens()[i],
			MessageId:  res.EntryID,
			Outcome:    argusv1.AckOutcome(argusv1.AckOutcome_value["ACK_OUTCOME_"+string(res.Outcome)]),
		})
	}
	return response, nil
}

func (q *taskQueue) nack(ctx context.Context, r *argusv1.NackRequest) (*argusv1.NackResponse, error) {
	delay, err := fromDuration("delay", r.GetDelay())
	if err != nil {
		return nil, err
	}
	request := queue.NackRequest{Token: r.GetLeaseToken(), DeadLetter: r.GetDeadLetter(), Release: r.GetRelease(), Reason: r.GetReason()}
	if r.GetDelay() != nil {
		request.Delay = &delay
	}
	nacked, err := q.tasks.Nack(ctx, request)
	if err != nil {
		return nil, err
	}
	return &argusv1.NackResponse{
		Outcome: argusv1.NackOutcome(argusv1.NackOutcome_value["NACK_OUTCOME_"+string(nacked.Outcome)]),
		Delay:   durationpb.New(nacked.Delay),
	}, nil
}

func (q *taskQueue) complete(ctx context.Context, r *argusv1.CompleteRequest) (*argusv1.CompleteResponse, error) {
	recorded, err := q.tasks.Complete(ctx, r.GetLeaseToken(), fromCompletion(r))
	if err != nil {
		return nil, err
	}
	return &argusv1.CompleteResponse{Cursor: recorded.Cursor, AlreadyCompleted: recorded.Already}, nil
}

func (q *taskQueue) completeBatch(ctx context.Context, r *argusv1.CompleteBatchRequest) (*argusv1.CompleteBatchResponse, error) {
	all := make([]result.Completion, len(r.GetRequests()))
	for i, c := range r.GetRequests() {
		all[i] = result.Completion{Token: c.GetLeaseToken(), Result: fromCompletion(c)}
	}
	outcomes, err := q.tasks.CompleteBatch(ctx, all)
	if err != nil {
		return nil, err
	}
	return &argusv1.CompleteBatchResponse{Outcomes: toOutcomes(outcomes)}, nil
}

func fromCompletion(r *argusv1.CompleteRequest) job.Result {
	return job.Result{Status: fromStatusEnum(r.GetStatus()), Fields: r.GetFields(), Error: r.GetErrorMessage(), Part: r.GetPart()}
}

// toOutcomes converts the outcomes of a batch. Their messages share one allocation.
func toOutcomes(outcomes []result.Outcome) []*argusv1.CompleteOutcome {
	type messages struct {
		outcome  argusv1.CompleteOutcome
		member   argusv1.CompleteOutcome_Complete
		complete argusv1.CompleteResponse
	}
	all, converted := make([]messages, len(outcomes)), make([]*argusv1.CompleteOutcome, len(outcomes))
	for i, o := range outcomes {
		m := &all[i]
		converted[i] = &m.outcome
		if o.Err != nil {
			m.outcome.Outcome = &argusv1.CompleteOutcome_Failure{Failure: toFailure(o.Err)}
			continue
		}
		m.complete.Cursor, m.complete.AlreadyCompleted = o.Cursor, o.Already
		m.member.Complete, m.outcome.Outcome = &m.complete, &m.member
	}
	return converted
}
