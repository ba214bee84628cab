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
	"github.com/hikmaai-io/argus-queue/redis"
)

// Bounds of a WatchMany.
const (
	maxWatchAdd  = 10_000
	maxWatchJobs = 500_000
)

// watchMany is one WatchMany stream. One goroutine receives, one sends; the watches belong
// to the one that sends.
type watchMany struct {
	server   *Server
	stream   grpc.BidiStreamingServer[argusv1.WatchManyRequest, argusv1.WatchManyResponse]
	watches  *redis.Watches
	interval time.Duration
	counted  int // of the server's watched jobs
}

func (c *completion) WatchMany(stream grpc.BidiStreamingServer[argusv1.WatchManyRequest, argusv1.WatchManyResponse]) error {
	w := &watchMany{server: c.server, stream: stream, watches: c.broker.Watches(), interval: defaultHeartbeat}
	defer w.watches.Close()
	defer func() { w.server.watchedJobs.Add(-int64(w.counted)) }()
	ctx, cancel := context.WithCancel(stream.Context())
	defer cancel()
	requests, ended := received(ctx, stream.Recv)
	return w.run(ctx, requests, ended)
}

// received receives a stream's requests in the background, until ctx ends or there are no
// more: then the other channel has the reason. It ends with the stream, which is as soon
// as its handler returns.
func received[T any](ctx context.Context, recv func() (T, error)) (<-chan T, <-chan error) {
	requests, ended := make(chan T), make(chan error, 1)
	go func() {
		for {
			r, err := recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return requests, ended
}

// run serves the stream until its client has said all and got all.
func (w *watchMany) run(ctx context.Context, requests <-chan *argusv1.WatchManyRequest, ended <-chan error) error {
	beat := time.NewTimer(w.interval)
	defer beat.Stop()
	for {
		frame, err := w.watches.Poll(ctx)
		if err != nil {
			return err
		}
		w.discount()
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
			err := w.stream.Send(&argusv1.WatchManyResponse{Frame: &argusv1.WatchManyResponse_Heartbeat{Heartbeat: &argusv1.Heartbeat{}}})
			if err != nil {
				return err
			}
			beat.Reset(w.interval)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// apply does what a request asks for.
func (w *watchMany) apply(r *argusv1.WatchManyRequest) error {
	if len(r.GetAdd()) > maxWatchAdd {
		return &redis.ArgumentError{Field: "add", Problem: fmt.Sprintf("has %d entries, at most %d are allowed; send several requests", len(r.GetAdd()), maxWatchAdd)}
	}
	if r.GetHeartbeatInterval() != nil {
		var err error
		if w.interval, err = w.server.heartbeat(r.GetHeartbeatInterval()); err != nil {
			return err
		}
	}
	for _, job := range r.GetRemove() {
		w.watches.Remove(job)
	}
	w.discount()
	if !w.server.watch(len(r.GetAdd())) {
		return errBusy
	}
	w.counted += len(r.GetAdd())
	for i, job := range r.GetAdd() {
		err := w.watches.Add(job.GetJobId(), redis.WatchOptions{After: job.GetAfterCursor(), State: job.GetIncludeState()})
		if err != nil {
			return inList(fmt.Sprintf("add[%d].", i), err)
		}
	}
	if w.watches.Len() > maxWatchJobs {
		return errTooManyJobs
	}
	return nil
}

// discount counts jobs no more that are not watched any more.
func (w *watchMany) discount() {
	if gone := w.counted - w.watches.Len(); gone != 0 {
		w.counted -= gone
		w.server.watchedJobs.Add(-int64(gone))
	}
}

// watch counts n jobs more that are watched; false when those are too many.
func (s *Server) watch(n int) bool {
	if s.watchedJobs.Add(int64(n)) > int64(s.config.MaxWatchedJobs) {
		s.watchedJobs.Add(-int64(n))
		return false
	}
	return true
}

// inList puts the place in a list in front of the fields of bad arguments. Other errors
// stay as they are.
func inList(place string, err error) error {
	var arguments []*redis.ArgumentError
	if collect(err, &arguments); len(arguments) == 0 {
		return err
	}
	errs := make([]error, len(arguments))
	for i, a := range arguments {
		errs[i] = &redis.ArgumentError{Field: place + a.Field, Problem: a.Problem}
	}
	return errors.Join(errs...)
}

func toManyFrame(frame *redis.Frame) *argusv1.WatchManyResponse {
	response := &argusv1.WatchManyResponse{JobId: frame.JobID, Cursor: frame.Cursor, Done: frame.Done || frame.Err != nil}
	switch {
	case frame.Snapshot != nil:
		response.Frame = &argusv1.WatchManyResponse_Snapshot{Snapshot: toSnapshot(frame)}
	case frame.Event != nil:
		response.Frame = &argusv1.WatchManyResponse_Event{Event: toEvent(frame.Event)}
	case frame.State != nil:
		response.Frame = &argusv1.WatchManyResponse_StateChange{StateChange: toStateChange(frame.State)}
	default:
		s := toStatus(frame.Err, subject{jobID: frame.JobID})
		failure := &argusv1.WatchFailure{Message: status.Convert(s).Message(),
			Reason: argusv1.ErrorReason(argusv1.ErrorReason_value["ERROR_REASON_"+reasonOf(s)])}
		var expired *redis.CursorExpiredError
		if errors.As(frame.Err, &expired) {
			failure.EarliestCursor = expired.Earliest
		}
		response.Frame = &argusv1.WatchManyResponse_Failure{Failure: failure}
	}
	return response
}
