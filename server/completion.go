package server

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis"
)

// completion is the service Completion.
type completion struct {
	argusv1.UnsafeCompletionServer

	server *Server
	broker Broker
}

// How often a watch sends a heartbeat.
const (
	defaultHeartbeat = 15 * time.Second
	maxHeartbeat     = time.Hour
)

func (s *Server) heartbeat(d *durationpb.Duration) (time.Duration, error) {
	if d == nil {
		return defaultHeartbeat, nil
	}
	interval, err := fromDuration("heartbeat_interval", d)
	if least := s.config.patience.heartbeat; err == nil && (interval < least || interval > maxHeartbeat) {
		err = &redis.ArgumentError{Field: "heartbeat_interval", Problem: fmt.Sprintf("is %s, want %s to %s", interval, least, maxHeartbeat)}
	}
	return interval, err
}

func (c *completion) Watch(r *argusv1.WatchRequest, stream grpc.ServerStreamingServer[argusv1.WatchResponse]) error {
	interval, err := c.server.heartbeat(r.GetHeartbeatInterval())
	if err != nil {
		return err
	}
	if !c.server.watch(1) {
		return errBusy
	}
	defer c.server.watchedJobs.Add(-1)
	watch, err := c.broker.WatchFrames(r.GetJobId(), redis.WatchOptions{After: r.GetAfterCursor(), State: r.GetIncludeState()})
	if err != nil {
		return err
	}
	defer watch.Close()
	cursor := r.GetAfterCursor()
	for {
		frame, err := watch.Next(stream.Context(), interval)
		switch {
		case err != nil:
			return err
		case frame == nil:
			frame = &redis.Frame{Cursor: cursor}
		case frame.Err != nil:
			return frame.Err
		}
		cursor = frame.Cursor
		response := &argusv1.WatchResponse{Cursor: cursor}
		switch {
		case frame.Snapshot != nil:
			response.Frame = &argusv1.WatchResponse_Snapshot{Snapshot: toSnapshot(frame)}
		case frame.Event != nil:
			response.Frame = &argusv1.WatchResponse_Event{Event: toEvent(frame.Event)}
		case frame.State != nil:
			response.Frame = &argusv1.WatchResponse_StateChange{StateChange: toStateChange(frame.State)}
		default:
			response.Frame = &argusv1.WatchResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}
		}
		if err := stream.Send(response); err != nil || frame.Done {
			return err
		}
	}
}

func toSnapshot(frame *redis.Frame) *argusv1.JobSnapshot {
	return &argusv1.JobSnapshot{JobId: frame.JobID, Known: frame.Snapshot.Known,
		Status: toStatusEnum(frame.Snapshot.Status), StatusText: valid(string(frame.Snapshot.Status))}
}

func toStateChange(s *redis.StateChange) *argusv1.StateChange {
	change := &argusv1.StateChange{}
	change.Fields, change.BinaryFields = redis.SplitText(s.Fields)
	for _, name := range s.Removed {
		change.Removed = append(change.Removed, valid(name))
	}
	if s.Truncated || proto.Size(change) > maxMessage-frameOverhead {
		return &argusv1.StateChange{Truncated: true}
	}
	return change
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
