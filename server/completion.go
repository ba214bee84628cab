package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// completion is the service Completion.
type completion struct {
	argusv1.UnsafeCompletionServer

	server *Server
	broker *redis.Broker
}

// How often a watch sends a heartbeat.
const (
	defaultHeartbeat = 15 * time.Second
	minHeartbeat     = 10 * time.Millisecond
	maxHeartbeat     = time.Hour
)

func heartbeat(r *argusv1.WatchRequest) (time.Duration, error) {
	if r.GetHeartbeatInterval() == nil {
		return defaultHeartbeat, nil
	}
	d, err := fromDuration("heartbeat_interval", r.GetHeartbeatInterval())
	if err == nil && (d < minHeartbeat || d > maxHeartbeat) {
		err = &redis.ArgumentError{Field: "heartbeat_interval", Problem: fmt.Sprintf("is %s, want %s to %s", d, minHeartbeat, maxHeartbeat)}
	}
	return d, err
}

func (c *completion) Watch(r *argusv1.WatchRequest, stream grpc.ServerStreamingServer[argusv1.WatchResponse]) error {
	interval, err := heartbeat(r)
	if err != nil {
		return err
	}
	ctx := stream.Context()
	watch, snapshot, err := c.broker.Watch(ctx, r.GetJobId(), r.GetAfterCursor())
	if err != nil {
		return err
	}
	defer watch.Close()
	frame := &argusv1.WatchResponse{Cursor: watch.Cursor(), Frame: &argusv1.WatchResponse_Snapshot{Snapshot: &argusv1.JobSnapshot{
		JobId: r.GetJobId(), Known: snapshot.Known,
		Status: toStatusEnum(snapshot.Status), StatusText: valid(string(snapshot.Status)),
	}}}
	for {
		if err := stream.Send(frame); err != nil || watch.Done() {
			return err
		}
		event, err := watch.Next(ctx, interval)
		if err != nil {
			return err
		}
		frame = &argusv1.WatchResponse{Cursor: watch.Cursor()}
		if event != nil {
			frame.Frame = &argusv1.WatchResponse_Event{Event: toEvent(event)}
		} else {
			frame.Frame = &argusv1.WatchResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}
		}
	}
}

func (c *completion) Publish(ctx context.Context, r *argusv1.CompletionPublishRequest) (*argusv1.CompletionPublishResponse, error) {
	recorded, err := c.broker.Report(ctx, r.GetJobId(), redis.Result{
		Status: fromStatusEnum(r.GetStatus()), Fields: r.GetFields(), Error: r.GetErrorMessage(), Part: r.GetPart(),
	})
	if err != nil {
		return nil, err
	}
	return &argusv1.CompletionPublishResponse{Cursor: recorded.Cursor, AlreadyCompleted: recorded.Already}, nil
}

func (c *completion) Await(ctx context.Context, r *argusv1.AwaitRequest) (*argusv1.AwaitResponse, error) {
	wait, err := fromDuration("wait", r.GetWait())
	if err != nil {
		return nil, err
	}
	wait, err = c.server.waitTime(ctx, wait, defaultWait, r.GetWait() != nil)
	if err != nil {
		return nil, err
	}
	ctx, stop := c.server.whileServing(ctx)
	defer stop()
	event, err := c.broker.Await(ctx, r.GetJobId(), wait)
	if ended(ctx, err) == errShuttingDown {
		return &argusv1.AwaitResponse{}, nil
	}
	if err != nil {
		return nil, err
	}
	if event == nil {
		return &argusv1.AwaitResponse{}, nil
	}
	return &argusv1.AwaitResponse{Done: true, Event: toEvent(event)}, nil
}
