package server

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/queue"
)

// Leaser leases tasks to consumers.
type Leaser interface {
	Read(ctx context.Context, r queue.ReadRequest) ([]queue.Delivery, error)
	// Release returns deliveries that did not reach their consumer.
	Release(ctx context.Context, deliveries []queue.Delivery)
	Held(ctx context.Context, queue, group, consumer string) (queue.Holding, error)
	Extend(ctx context.Context, token string, fields map[string]string) (queue.Extended, error)
}

func (q *taskQueue) Read(ctx context.Context, r *argusv1.ReadRequest) (*argusv1.ReadResponse, error) {
	wait, err := q.waits.wait(ctx, r.GetWait())
	if err != nil {
		return nil, err
	}
	serving, stop := q.lifecycle.bind(ctx)
	defer stop()
	deliveries, err := q.tasks.Read(serving, queue.ReadRequest{
		Queue: r.GetQueue(), Group: r.GetGroup(), Consumer: r.GetConsumer(),
		Max: int(r.GetMaxTasks()), Wait: wait, OwnPending: r.GetOwnPending(),
	})
	if withCause(serving, err) == errShuttingDown {
		return &argusv1.ReadResponse{}, nil // the client's next Read goes to another server
	}
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil { // the response would not arrive, and the tasks would wait for their leases to expire
		q.tasks.Release(context.WithoutCancel(ctx), deliveries)
		return nil, ctx.Err()
	}
	return &argusv1.ReadResponse{Deliveries: toDeliveries(deliveries)}, nil
}

func (q *taskQueue) ExtendLease(ctx context.Context, r *argusv1.ExtendLeaseRequest) (*argusv1.ExtendLeaseResponse, error) {
	extended, err := q.tasks.Extend(ctx, r.GetLeaseToken(), r.GetProgressFields())
	if err != nil {
		return nil, err
	}
	return &argusv1.ExtendLeaseResponse{
		LeaseExpireTime: timestamppb.New(extended.ExpiresAt),
		CancelRequested: extended.Cancelled,
	}, nil
}
