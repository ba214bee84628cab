package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	argusv1 "github.com/hikmaai-io/argus-queue/gen/argus/v1"
	"github.com/hikmaai-io/argus-queue/redis/job"
	"github.com/hikmaai-io/argus-queue/redis/watch"
	"github.com/hikmaai-io/argus-queue/server/internal/guard"
)

// Limits of a WatchMany stream.
const (
	maxWatchAdd  = 10_000  // jobs that one request adds
	maxWatchJobs = 500_000 // jobs that the stream watches
)

// watchManyStream is one WatchMany stream. One goroutine receives; the handler's sends and owns
// the watches.
type watchManyStream struct {
	service  *completion
	stream   grpc.BidiStreamingServer[argusv1.WatchManyRequest, argusv1.WatchManyResponse]
	watches  *watch.Watcher
	interval time.Duration // between heartbeats
	counted  int           // the stream's part of the watched jobs
}

func (c *completion) WatchMany(stream grpc.BidiStreamingServer[argusv1.WatchManyRequest, argusv1.WatchManyResponse]) error {
	w := &watchManyStream{service: c, stream: stream, watches: c.events.Watches(), interval: defaultHeartbeat}
	defer w.watches.Close()
	defer func() { c.watchedJobs.remove(w.counted) }()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	requests, ended := receive(ctx, stream.Recv)
	return w.serve(ctx, requests, ended)
}

// serve sends frames and applies requests until the client has half-closed and every watched job
// is done.
func (w *watchManyStream) serve(ctx context.Context, requests <-chan *argusv1.WatchManyRequest, ended <-chan error) error {
	beat := time.NewTimer(w.interval)
	defer beat.Stop()
	for {
		frame, err := w.watches.Poll(ctx)
		if err != nil {
			return err
		}
		w.uncountDone()
		if frame != nil {
			if err := w.stream.Send(toManyFrame(frame)); err != nil {
				return err
			}
			beat.Reset(w.interval)
			continue
		}
		if ended == nil && w.watches.Len() == 0 {
			return nil
		}
		select {
		case r := <-requests:
			if err := w.apply(r); err != nil {
				return err
			}
			beat.Reset(w.interval)
		case err := <-ended:
			if !errors.Is(err, io.EOF) {
				return err
			}
			ended = nil
		case <-w.watches.Mail():
		case <-beat.C:
			if err := w.sendHeartbeat(); err != nil {
				return err
			}
			beat.Reset(w.interval)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (w *watchManyStream) sendHeartbeat() error {
	return w.stream.Send(&argusv1.WatchManyResponse{Frame: &argusv1.WatchManyResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}})
}

// apply changes the set of watched jobs. Removals come first, so that they make room.
func (w *watchManyStream) apply(r *argusv1.WatchManyRequest) error {
	if len(r.GetAdd()) > maxWatchAdd {
		return &job.ArgumentError{Field: "add", Problem: fmt.Sprintf("has %d entries, at most %d are allowed; send several requests", len(r.GetAdd()), maxWatchAdd)}
	}
	if r.GetHeartbeatInterval() != nil {
		var err error
		if w.interval, err = w.service.waits.heartbeat(r.GetHeartbeatInterval()); err != nil {
			return err
		}
	}
	for _, id := range r.GetRemove() {
		w.watches.Remove(id)
	}
	w.uncountDone()
	if !w.service.watchedJobs.add(len(r.GetAdd())) {
		return guard.ErrBusy
	}
	w.counted += len(r.GetAdd())
	for i, id := range r.GetAdd() {
		err := w.watches.Add(id.GetJobId(), watch.Options{After: id.GetAfterCursor(), State: id.GetIncludeState()})
		if err != nil {
			return prefixFields(fmt.Sprintf("add[%d].", i), err)
		}
	}
	if w.watches.Len() > maxWatchJobs {
		return errTooManyJobs
	}
	return nil
}

// uncountDone stops counting jobs that are done, removed or were added twice.
func (w *watchManyStream) uncountDone() {
	if n := w.counted - w.watches.Len(); n != 0 {
		w.counted -= n
		w.service.watchedJobs.remove(n)
	}
}

func toManyFrame(frame *watch.Frame) *argusv1.WatchManyResponse {
	response := &argusv1.WatchManyResponse{JobId: frame.JobID, Cursor: frame.Cursor, Done: frame.Done || frame.Err != nil}
	switch {
	case frame.Snapshot != nil:
		response.Frame = &argusv1.WatchManyResponse_Snapshot{Snapshot: toSnapshot(frame)}
	case frame.Event != nil:
		response.Frame = &argusv1.WatchManyResponse_Event{Event: toEvent(frame.Event)}
	case frame.State != nil:
		response.Frame = &argusv1.WatchManyResponse_StateChange{StateChange: toStateChange(frame.State)}
	default:
		response.Frame = &argusv1.WatchManyResponse_Failure{Failure: toWatchFailure(frame)}
	}
	return response
}

func toWatchFailure(frame *watch.Frame) *argusv1.WatchFailure {
	s := toStatus(frame.Err, subject{jobID: frame.JobID})
	failure := &argusv1.WatchFailure{Message: status.Convert(s).Message(), Reason: reasonEnum(s)}
	var expired *job.CursorExpiredError
	if errors.As(frame.Err, &expired) {
		failure.EarliestCursor = expired.Earliest
	}
	return failure
}
