package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// taskQueue is the service TaskQueue.
type taskQueue struct {
	argusv1.UnsafeTaskQueueServer // a method that is missing does not compile

	server  *Server
	broker  Broker
	streams streams
}

// defaultWait is how long Read and Await wait when the caller does not say.
const defaultWait = 5 * time.Second

func (q *taskQueue) Publish(ctx context.Context, r *argusv1.PublishRequest) (*argusv1.PublishResponse, error) {
	task, err := fromTask("task", r.GetTask())
	if err != nil {
		return nil, err
	}
	delay, err := fromDuration("delay", r.GetDelay())
	if err != nil {
		return nil, err
	}
	if r.GetDelay() != nil && r.GetRunAt() != nil {
		return nil, &redis.ArgumentError{Field: "run_at", Problem: "can't be combined with delay; choose one"}
	}
	runAt, err := fromTimestamp("run_at", r.GetRunAt())
	if err != nil {
		return nil, err
	}
	request := redis.PublishRequest{
		PublishOptions: redis.PublishOptions{Queue: r.GetQueue(), RequestID: r.GetRequestId()},
		Task:           task, Delay: delay, RunAt: runAt,
	}
	if request.State, err = fromInitialState(r.GetInitialState()); err != nil {
		return nil, err
	}
	p, deduplicated, err := q.broker.Publish(ctx, request)
	if err != nil {
		return nil, err
	}
	return &argusv1.PublishResponse{MessageId: p.EntryID, JobId: p.JobID, Deduplicated: deduplicated}, nil
}

func (q *taskQueue) PublishBatch(ctx context.Context, r *argusv1.PublishBatchRequest) (*argusv1.PublishBatchResponse, error) {
	request := redis.PublishBatchRequest{PublishOptions: redis.PublishOptions{Queue: r.GetQueue(), RequestID: r.GetRequestId()}}
	request.Tasks = make([]redis.Task, len(r.GetTasks()))
	for i, t := range r.GetTasks() {
		var err error
		if request.Tasks[i], err = fromTask("", t); err != nil {
			return nil, inList(fmt.Sprintf("tasks[%d]", i), err)
		}
	}
	state, err := fromInitialState(r.GetInitialState())
	if err != nil {
		return nil, err
	}
	request.State = state
	published, deduplicated, err := q.broker.PublishBatch(ctx, request)
	if err != nil {
		return nil, err
	}
	response := &argusv1.PublishBatchResponse{Deduplicated: deduplicated,
		MessageIds: make([]string, len(published)), JobIds: make([]string, len(published))}
	for i, p := range published {
		response.MessageIds[i], response.JobIds[i] = p.EntryID, p.JobID
	}
	return response, nil
}

func (q *taskQueue) Read(ctx context.Context, r *argusv1.ReadRequest) (*argusv1.ReadResponse, error) {
	wait, err := fromDuration("wait", r.GetWait())
	if err != nil {
		return nil, err
	}
	wait, err = q.server.waitTime(ctx, wait, defaultWait, r.GetWait() != nil)
	if err != nil {
		return nil, err
	}
	serving, stop := q.server.whileServing(ctx)
	defer stop()
	deliveries, err := q.broker.Read(serving, redis.ReadRequest{
		Queue: r.GetQueue(), Group: r.GetGroup(), Consumer: r.GetConsumer(),
		Max: int(r.GetMaxTasks()), Wait: wait, OwnPending: r.GetOwnPending(),
	})
	if ended(serving, err) == errShuttingDown {
		return &argusv1.ReadResponse{}, nil // there is no work here; ask the next server
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // the answer would not reach the caller, and the tasks wait for their leases to run out
		q.broker.Release(context.WithoutCancel(ctx), deliveries)
		return nil, ctx.Err()
	}
	return &argusv1.ReadResponse{Deliveries: toDeliveries(deliveries)}, nil
}

// Those that settle give a stream's credit back; streams do so themselves.

func (q *taskQueue) Ack(ctx context.Context, r *argusv1.AckRequest) (*argusv1.AckResponse, error) {
	response, err := q.ack(ctx, r)
	if err == nil {
		q.streams.settled(r.GetLeaseTokens()...)
	}
	return response, err
}

func (q *taskQueue) Nack(ctx context.Context, r *argusv1.NackRequest) (*argusv1.NackResponse, error) {
	response, err := q.nack(ctx, r)
	q.settledOne(r.GetLeaseToken(), err)
	return response, err
}

func (q *taskQueue) Complete(ctx context.Context, r *argusv1.CompleteRequest) (*argusv1.CompleteResponse, error) {
	response, err := q.complete(ctx, r)
	q.settledOne(r.GetLeaseToken(), err)
	return response, err
}

func (q *taskQueue) CompleteBatch(ctx context.Context, r *argusv1.CompleteBatchRequest) (*argusv1.CompleteBatchResponse, error) {
	response, err := q.completeBatch(ctx, r)
	if err == nil {
		q.streams.settled(settledBy(r, response)...)
	}
	return response, err
}

func (q *taskQueue) settledOne(token string, err error) {
	if err == nil || errors.Is(err, redis.ErrLeaseLost) {
		q.streams.settled(token)
	}
}

func (q *taskQueue) ack(ctx context.Context, r *argusv1.AckRequest) (*argusv1.AckResponse, error) {
	results, err := q.broker.Ack(ctx, r.GetLeaseTokens())
	if err != nil {
		return nil, err
	}
	response := &argusv1.AckResponse{}
	for i, result := range results {
		response.Results = append(response.Results, &argusv1.AckResult{
			LeaseToken: r.GetLeaseTokens()[i],
			MessageId:  result.EntryID,
			Outcome:    argusv1.AckOutcome(argusv1.AckOutcome_value["ACK_OUTCOME_"+string(result.Outcome)]),
		})
	}
	return response, nil
}

func (q *taskQueue) nack(ctx context.Context, r *argusv1.NackRequest) (*argusv1.NackResponse, error) {
	delay, err := fromDuration("delay", r.GetDelay())
	if err != nil {
		return nil, err
	}
	request := redis.NackRequest{Token: r.GetLeaseToken(), DeadLetter: r.GetDeadLetter(), Release: r.GetRelease(), Reason: r.GetReason()}
	if r.GetDelay() != nil {
		request.Delay = &delay
	}
	nacked, err := q.broker.Nack(ctx, request)
	if err != nil {
		return nil, err
	}
	return &argusv1.NackResponse{
		Outcome: argusv1.NackOutcome(argusv1.NackOutcome_value["NACK_OUTCOME_"+string(nacked.Outcome)]),
		Delay:   durationpb.New(nacked.Delay),
	}, nil
}

func (q *taskQueue) ExtendLease(ctx context.Context, r *argusv1.ExtendLeaseRequest) (*argusv1.ExtendLeaseResponse, error) {
	extended, err := q.broker.Extend(ctx, r.GetLeaseToken(), r.GetProgressFields())
	if err != nil {
		return nil, err
	}
	return &argusv1.ExtendLeaseResponse{
		LeaseExpireTime: timestamppb.New(extended.ExpiresAt),
		CancelRequested: extended.Cancelled,
	}, nil
}

func (q *taskQueue) complete(ctx context.Context, r *argusv1.CompleteRequest) (*argusv1.CompleteResponse, error) {
	recorded, err := q.broker.Complete(ctx, r.GetLeaseToken(), fromCompletion(r))
	if err != nil {
		return nil, err
	}
	return &argusv1.CompleteResponse{Cursor: recorded.Cursor, AlreadyCompleted: recorded.Already}, nil
}

func (q *taskQueue) completeBatch(ctx context.Context, r *argusv1.CompleteBatchRequest) (*argusv1.CompleteBatchResponse, error) {
	all := make([]redis.Completion, len(r.GetRequests()))
	for i, c := range r.GetRequests() {
		all[i] = redis.Completion{Token: c.GetLeaseToken(), Result: fromCompletion(c)}
	}
	outcomes, err := q.broker.CompleteBatch(ctx, all)
	if err != nil {
		return nil, err
	}
	type memory struct { // in one piece
		outcome  argusv1.CompleteOutcome
		member   argusv1.CompleteOutcome_Complete
		complete argusv1.CompleteResponse
	}
	pieces := make([]memory, len(outcomes))
	response := &argusv1.CompleteBatchResponse{Outcomes: make([]*argusv1.CompleteOutcome, len(outcomes))}
	for i, o := range outcomes {
		m := &pieces[i]
		response.Outcomes[i] = &m.outcome
		if o.Err != nil {
			m.outcome.Outcome = &argusv1.CompleteOutcome_Failure{Failure: toFailure(o.Err)}
			continue
		}
		m.complete.Cursor, m.complete.AlreadyCompleted = o.Cursor, o.Already
		m.member.Complete, m.outcome.Outcome = &m.complete, &m.member
	}
	return response, nil
}

func fromCompletion(r *argusv1.CompleteRequest) redis.Result {
	return redis.Result{Status: fromStatusEnum(r.GetStatus()), Fields: r.GetFields(), Error: r.GetErrorMessage(), Part: r.GetPart()}
}

func (q *taskQueue) Cancel(ctx context.Context, r *argusv1.CancelRequest) (*argusv1.CancelResponse, error) {
	cancelled, err := q.broker.Cancel(ctx, r.GetJobId(), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &argusv1.CancelResponse{Was: toStatusEnum(cancelled.Was), Cursor: cancelled.Cursor}, nil
}
