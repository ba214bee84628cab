package server_test

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/queue"
	"github.com/hikmaai-io/argus-queue/redis/redistest"
	"github.com/hikmaai-io/argus-queue/server"
)

func TestCallerThatLeavesGetsNoTask(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		b := setup(t, e)
		for inTime := false; !inTime; { // on a busy machine the time for the response may be too short
			ctx, cancel := context.WithTimeout(b.ctx, 4*time.Second) // of which a second is left for the response
			r, err := b.queue.Read(ctx, &argusv1.ReadRequest{Consumer: "w", Wait: durationpb.New(30 * time.Second)})
			cancel()
			if len(r.GetDeliveries()) != 0 || err != nil && (status.Code(err) != codes.DeadlineExceeded || b.ctx.Err() != nil) {
				t.Fatalf("Read with a deadline: %v, %v; want an empty response before it", r, err)
			}
			inTime = err == nil
		}
		gone, leave := context.WithCancel(b.ctx)
		left := make(chan struct{})
		go func() {
			defer close(left)
			_, _ = b.queue.Read(gone, &argusv1.ReadRequest{Consumer: "gone", Wait: durationpb.New(30 * time.Second)})
		}()
		leave()
		<-left
		b.publish(t, "job")
		if d := b.readOne(t); d.GetDeliveryAttempt() != 1 {
			t.Errorf("delivery %v, want the first attempt", d)
		}
	})
}

// lateStore is a store whose reads return only after their caller has left.
type lateStore struct {
	server.Broker
	begun, returned chan struct{}
}

func (l lateStore) Read(ctx context.Context, r queue.ReadRequest) ([]queue.Delivery, error) {
	if r.Consumer != "late" {
		return l.Broker.Read(ctx, r)
	}
	close(l.begun)
	<-ctx.Done()
	return l.Broker.Read(context.WithoutCancel(ctx), r)
}

func (l lateStore) Release(ctx context.Context, deliveries []queue.Delivery) {
	l.Broker.Release(ctx, deliveries)
	close(l.returned)
}

// A task that was leased for a caller that has left goes to another one at once.
func TestReadReleasesTasksOfACallerThatLeft(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, e redistest.Engine) {
		store := &lateStore{begun: make(chan struct{}), returned: make(chan struct{})}
		b := setupServer(t, e, job.Settings{}, func(c *server.Config) { store.Broker, c.Broker = c.Broker, store })
		b.publish(t, "job")
		ctx, leave := context.WithCancel(b.ctx)
		go func() { <-store.begun; leave() }()
		if r, err := b.queue.Read(ctx, &argusv1.ReadRequest{Consumer: "late"}); status.Code(err) != codes.Canceled {
			t.Fatalf("Read of a caller that left: %v, %v; want CANCELED", r, err)
		}
		select {
		case <-store.returned:
		case <-b.ctx.Done():
			t.Fatal("the task was not released")
		}
		if d := b.readOne(t); d.GetTask().GetJobId() != "job" || d.GetDeliveryAttempt() != 1 {
			t.Errorf("delivery %v, want the first attempt", d)
		}
	})
}
