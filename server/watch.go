package server

import (
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/watch"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

func (c *completion) Watch(r *argusv1.WatchRequest, stream grpc.ServerStreamingServer[argusv1.WatchResponse]) error {
	interval, err := c.waits.heartbeat(r.GetHeartbeatInterval())
	if err != nil {
		return err
	}
	if !c.watchedJobs.add(1) {
		return guard.ErrBusy
	}
	defer c.watchedJobs.remove(1)
	w, err := c.events.WatchFrames(r.GetJobId(), watch.Options{After: r.GetAfterCursor(), State: r.GetIncludeState()})
	if err != nil {
		return err
	}
	defer w.Close()
	cursor := r.GetAfterCursor()
	for {
		frame, err := w.Next(stream.Context(), interval)
		switch {
		case err != nil:
			return err
		case frame == nil: // nothing happened for the interval
			frame = &watch.Frame{Cursor: cursor}
		case frame.Err != nil:
			return frame.Err
		}
		cursor = frame.Cursor
		if err := stream.Send(toWatchResponse(frame)); err != nil || frame.Done {
			return err
		}
	}
}

func toWatchResponse(frame *watch.Frame) *argusv1.WatchResponse {
	response := &argusv1.WatchResponse{Cursor: frame.Cursor}
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
	return response
}

func toSnapshot(frame *watch.Frame) *argusv1.JobSnapshot {
	return &argusv1.JobSnapshot{JobId: frame.JobID, Known: frame.Snapshot.Known,
		Status: toStatusEnum(frame.Snapshot.Status), StatusText: valid(string(frame.Snapshot.Status))}
}

func toStateChange(s *watch.StateChange) *argusv1.StateChange {
	change := &argusv1.StateChange{}
	change.Fields, change.BinaryFields = job.SplitText(s.Fields)
	for _, name := range s.Removed {
		change.Removed = append(change.Removed, valid(name))
	}
	if s.Truncated || proto.Size(change) > maxMessage-frameOverhead {
		return &argusv1.StateChange{Truncated: true}
	}
	return change
}

// watchLimit counts the jobs that the streams of all clients watch.
type watchLimit struct {
	max     int64
	watched atomic.Int64
}

// add counts n more jobs, or returns false if they exceed the limit.
func (l *watchLimit) add(n int) bool {
	if l.watched.Add(int64(n)) > l.max {
		l.watched.Add(-int64(n))
		return false
	}
	return true
}

func (l *watchLimit) remove(n int) { l.watched.Add(-int64(n)) }
